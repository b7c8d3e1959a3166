"""The job as people write it: one plain script, pandas, scikit-learn, MLflow's fluent calls and defaults.

    MLFLOW_TRACKING_URI=sqlite:///mlflow.db python benchmarks/bare.py RECIPE SOURCE FOLDER

Same steps, settings and outputs as the product. Prints one JSON object.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import lightgbm as lgb
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
import yaml
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_absolute_error, mean_squared_error, median_absolute_error, r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder


def validate(df: pd.DataFrame, expectations: list, folder: Path) -> bool:
    import great_expectations as gx
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    context = gx.get_context(mode="ephemeral")
    suite = context.suites.add(gx.ExpectationSuite(name="recipe"))
    for item in expectations:
        for name, kwargs in item.items():
            cls = getattr(gx.expectations, "".join(part.title() for part in name.split("_")))
            suite.add_expectation(cls(**kwargs))
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("data")
    definition = asset.add_batch_definition_whole_dataframe("batch")
    validation = context.validation_definitions.add(
        gx.ValidationDefinition(name="v", data=definition, suite=suite)
    )
    result = validation.run(batch_parameters={"dataframe": df})
    page = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result))
    (folder / "expectations.html").write_text(page)
    (folder / "expectations.json").write_text(json.dumps(result.to_json_dict()))
    return all(r.success for r in result.results if r.expectation_config.severity != "warning")


def evaluate(y: np.ndarray, p: np.ndarray) -> dict:
    return {
        "rmse": float(np.sqrt(mean_squared_error(y, p))),
        "mae": float(mean_absolute_error(y, p)),
        "r2": float(r2_score(y, p)),
        "median_absolute_error": float(median_absolute_error(y, p)),
    }


def bootstrap(y: np.ndarray, p: np.ndarray, q: np.ndarray, by: float, n: int = 1000) -> float:
    rng = np.random.default_rng(1)
    a, b, wins = (p - y) ** 2, (q - y) ** 2, 0
    for _ in range(n):
        rows = rng.integers(0, len(y), len(y))
        wins += np.sqrt(a[rows].mean()) < np.sqrt(b[rows].mean()) * (1 - by)
    return wins / n


def main(recipe_file: str, source: str, work: str) -> None:
    recipe = yaml.safe_load(Path(recipe_file).read_text())
    name, target = recipe["name"], recipe["data"]["target"]
    folder = Path(work) / str(os.getpid())
    folder.mkdir(parents=True)
    seconds, last = {}, time.perf_counter()

    def lap(step: str) -> None:
        nonlocal last
        seconds[step], last = round(time.perf_counter() - last, 3), time.perf_counter()

    mlflow.set_experiment(name)
    with mlflow.start_run() as run:
        mlflow.log_artifact(recipe_file)
        for key, value in pd.json_normalize(recipe).iloc[0].items():
            mlflow.log_param(key, value)
        (folder / "changes.diff").write_text(
            subprocess.run(["git", "diff", "HEAD"], capture_output=True, text=True).stdout
        )
        freeze = subprocess.run(
            [sys.executable, "-m", "pip", "freeze"], capture_output=True, text=True
        ).stdout
        (folder / "requirements.txt").write_text(freeze)
        lap("open run")

        df = pd.read_csv(source) if source.endswith(".csv") else pd.read_parquet(source)
        digest = hashlib.sha256(pd.util.hash_pandas_object(df).to_numpy().tobytes()).hexdigest()
        snapshot = Path(work) / f"{digest}.parquet"
        df.to_parquet(snapshot)
        mlflow.log_input(
            mlflow.data.from_pandas(df, source=str(snapshot), targets=target, name=name),
            context="training",
        )
        lap("ingest")

        valid = True
        if recipe["data"].get("expectations"):
            valid = validate(df, recipe["data"]["expectations"], folder)
        lap("validate")

        X, y = df.drop(columns=target), df[target]
        X_rest, X_test, y_rest, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
        X_train, X_val, y_train, y_val = train_test_split(
            X_rest, y_rest, test_size=0.125, random_state=42
        )
        categories = list(X.select_dtypes(exclude="number"))
        encoder = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=np.nan, dtype=np.float32
        )
        prepare = ColumnTransformer([("categories", encoder, categories)], remainder="passthrough")
        model = lgb.LGBMRegressor(**recipe["model"]["params"], verbosity=-1)
        model.fit(
            prepare.fit_transform(X_train),
            y_train,
            eval_set=[(prepare.transform(X_val), y_val)],
            eval_metric="rmse",
            categorical_feature=list(range(len(categories))),
            callbacks=[lgb.early_stopping(recipe["model"]["early_stopping"], verbose=False)],
        )
        pipeline = Pipeline([("prepare", prepare), ("model", model)])
        lap("train")
        for step, value in enumerate(model.evals_result_["valid_0"]["rmse"]):
            mlflow.log_metric("validation_rmse", value, step=step)
        lap("log curve")

        y_true, predicted = y_test.to_numpy(), pipeline.predict(X_test)
        metrics = evaluate(y_true, predicted)
        baseline = DummyRegressor().fit(X_train, y_train).predict(X_test)
        metrics |= {f"baseline_{k}": v for k, v in evaluate(y_true, baseline).items()}
        gates = {
            "r2": metrics["r2"] >= recipe["gates"][0]["min"],
            "baseline": bootstrap(y_true, predicted, baseline, 0.2) > 0.95,
        }
        client = MlflowClient()
        try:
            champion = mlflow.pyfunc.load_model(f"models:/{name}@champion")
        except mlflow.MlflowException:
            champion = None
        if champion:
            theirs = champion.predict(X_test)
            metrics |= {f"champion_{k}": v for k, v in evaluate(y_true, theirs).items()}
            gates["champion"] = bootstrap(y_true, predicted, theirs, 0.0) > 0.95
        for k, v in metrics.items():
            mlflow.log_metric(k, v)
        slices = {
            f"{column}={level}": evaluate(y_true[rows], predicted[rows])
            for column in recipe["evaluate"]["slices"]
            for level in X_test[column].dropna().unique()
            if (rows := (X_test[column] == level).to_numpy()).any()
        }
        lap("evaluate")

        figures = {}
        some = np.random.default_rng(1).permutation(len(y_true))[:5000]
        figures["predicted"], ax = plt.subplots()
        ax.scatter(y_true[some], predicted[some], s=3)
        figures["residuals"], ax = plt.subplots()
        ax.hist(predicted - y_true, bins=60)
        figures["learning-curve"], ax = plt.subplots()
        ax.plot(model.evals_result_["valid_0"]["rmse"])
        figures["importance"], ax = plt.subplots()
        ax.barh(prepare.get_feature_names_out(), model.booster_.feature_importance("gain"))
        for title, figure in figures.items():
            figure.suptitle(title)
            figure.tight_layout()
            figure.savefig(folder / f"{title}.svg")
            mlflow.log_figure(figure, f"plots/{title}.png")
            plt.close(figure)
        lap("plots")

        worst = X_test.assign(
            truth=y_true, predicted=predicted, error=np.abs(predicted - y_true)
        ).nlargest(20, "error")
        tables = [pd.DataFrame([metrics]).T, pd.DataFrame([gates]).T, pd.DataFrame(slices).T, worst]
        pictures = [(folder / f"{title}.svg").read_text() for title in figures]
        (folder / "report.html").write_text(
            "".join(table.to_html() for table in tables) + "".join(pictures)
        )
        mlflow.log_artifacts(folder)
        lap("report")

        logged = mlflow.sklearn.log_model(
            pipeline,
            name="model",
            signature=infer_signature(X_test.head(1000), predicted[:1000]),
            input_example=X_test.head(5),
            serialization_format="cloudpickle",
        )
        lap("log model")
        version = mlflow.register_model(logged.model_uri, name).version
        if valid and (all(gates.values()) or champion is None):
            client.set_registered_model_alias(name, "champion", version)
        lap("register")
    gates = {k: bool(v) for k, v in gates.items()}
    print(
        json.dumps(
            {
                "run_id": run.info.run_id,
                "metrics": metrics,
                "gates": gates,
                "version": version,
                "seconds": seconds,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
