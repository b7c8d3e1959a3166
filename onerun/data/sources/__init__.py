"""Sources of tables: files, databases, web addresses, scikit-learn's bundled data sets."""
