"""Where tables come from: files, databases, scikit-learn's bundled data sets."""
