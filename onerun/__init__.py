"""From a recipe to a champion, on MLflow: the library. It never imports Prefect."""
