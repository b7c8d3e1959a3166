"""A plain PyTorch script: it logs to MLflow as any script does, and knows nothing of who runs it.

pip install torch==2.13.0
python -m flows.train --recipe examples/torch.yaml
"""

import json
import os
from pathlib import Path

import mlflow
import pandas as pd
import torch


class Net(mlflow.pyfunc.PythonModel):
    """Raw table in, prices out: the columns, their scales and the network travel together."""

    def fit(self, table: pd.DataFrame, target: pd.Series, epochs: int) -> None:
        """Learns on the whole table at once, logging the loss of each epoch."""
        self.columns = table.select_dtypes("number").columns.tolist()
        self.middle, self.spread = table[self.columns].median(), table[self.columns].std() + 1e-9
        self.unit = float(target.mean())
        self.net = torch.nn.Sequential(
            torch.nn.Linear(len(self.columns), 64), torch.nn.ReLU(), torch.nn.Linear(64, 1)
        )
        inputs, wanted = (
            self._tensor(table),
            torch.tensor(target.to_numpy(dtype="float32") / self.unit),
        )
        optimizer = torch.optim.Adam(self.net.parameters(), lr=0.02)
        for epoch in range(epochs):
            loss = torch.nn.functional.mse_loss(self.net(inputs).squeeze(1), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            mlflow.log_metric("training_loss", loss.item(), step=epoch)

    def predict(self, context, model_input: pd.DataFrame, params=None):
        """Returns: (rows,) prices."""
        with torch.no_grad():
            return (self.net(self._tensor(model_input)).squeeze(1) * self.unit).numpy()

    def _tensor(self, table: pd.DataFrame) -> torch.Tensor:
        numbers = table[self.columns].apply(pd.to_numeric, errors="coerce").fillna(self.middle)
        return torch.tensor(((numbers - self.middle) / self.spread).to_numpy(dtype="float32"))


def main() -> None:
    """Reads what ONERUN_* names, trains in the run that MLflow finds, leaves a model folder."""
    target = os.environ["ONERUN_TARGET"]
    recipe = json.loads(Path(os.environ["ONERUN_RECIPE"]).read_text(encoding="utf-8"))
    torch.manual_seed(recipe["split"]["seed"])
    train = pd.read_parquet(os.environ["ONERUN_TRAIN_DATA"])
    validation = pd.read_parquet(os.environ["ONERUN_VALIDATION_DATA"])
    model = Net()
    with mlflow.start_run():
        mlflow.log_param("epochs", 100)
        model.fit(train.drop(columns=target), train[target], epochs=100)
        error = model.predict(None, validation) - validation[target].to_numpy()
        mlflow.log_metric("validation_rmse", float((error**2).mean() ** 0.5))
        print(f"validation rmse: {(error**2).mean() ** 0.5:,.0f}")
    mlflow.pyfunc.save_model(
        os.environ["ONERUN_MODEL_DIR"],
        python_model=model,
        pip_requirements=[f"torch=={torch.__version__}", f"pandas=={pd.__version__}"],
    )


if __name__ == "__main__":
    main()
