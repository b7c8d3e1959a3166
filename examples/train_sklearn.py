"""A plain scikit-learn script: it logs to MLflow as any script does, and knows nothing of who runs it.

python -m flows.train --recipe examples/sklearn.yaml
"""

import json
import os
from pathlib import Path

import mlflow
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

mlflow.sklearn.autolog(log_datasets=False)

target = os.environ["ONERUN_TARGET"]
seed = json.loads(Path(os.environ["ONERUN_RECIPE"]).read_text(encoding="utf-8"))["split"]["seed"]
train = pd.read_parquet(os.environ["ONERUN_TRAIN_DATA"])
validation = pd.read_parquet(os.environ["ONERUN_VALIDATION_DATA"])

features = train.drop(columns=target)
words = features.select_dtypes(exclude="number").columns.tolist()
encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
model = make_pipeline(
    make_column_transformer((encode, words), remainder="passthrough"),
    HistGradientBoostingRegressor(random_state=seed),
)

with mlflow.start_run():
    model.fit(features, train[target])
    score = model.score(validation.drop(columns=target), validation[target])
    mlflow.log_metric("validation_r2", score)
    print(f"validation r2: {score:.3f}")
