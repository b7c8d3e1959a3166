"""From a recipe to a champion, on MLflow: the library. It never imports Prefect.

import onerun

result = onerun.train("houses.yaml", overrides={"split.seed": 7})
onerun.load("houses").predict(frame)
"""

from typing import TYPE_CHECKING, Any

from onerun.version import __version__ as __version__

if TYPE_CHECKING:
    from onerun.api import load as load
    from onerun.api import train as train
    from onerun.engine.result import TrainingResult as TrainingResult

__all__ = ["TrainingResult", "load", "train"]


def __getattr__(name: str) -> Any:
    """Import the interface when it is first used: a subprocess that needs one module does not pay for all."""
    if name in ("load", "train"):
        from onerun import api

        return getattr(api, name)
    if name == "TrainingResult":
        from onerun.engine.result import TrainingResult

        return TrainingResult
    raise AttributeError(f"module 'onerun' has no attribute {name!r}")
