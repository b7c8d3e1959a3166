"""Makes the MLflow of this process one of another version: what it says of itself, and the schema that it expects."""

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from typing import Any


class Another(SourceFileLoader):
    """Loads the module as it would, then changes one thing in it."""

    def exec_module(self, module: Any) -> None:
        super().exec_module(module)
        if module.__name__ == "mlflow.version":
            module.VERSION = "9.9.9"
        else:
            module._get_latest_schema_revision = lambda: "ffffffffffff"


def become(refusing: bool) -> None:
    """To be called before MLflow is imported. `refusing`: its schema is another one, too."""
    names = {"mlflow.version", *(["mlflow.store.db.utils"] if refusing else [])}

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
            if name not in names:
                return None
            names.discard(name)
            spec = importlib.util.find_spec(name)
            assert spec is not None and spec.origin is not None
            hooked = spec.loader  # the run's own hook on this module comes after the change
            changed = Another(name, spec.origin)
            if hasattr(hooked, "hook"):
                hooked.loader = changed
            else:
                spec.loader = changed
            return spec

    sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]
