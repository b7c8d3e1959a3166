"""What a training subprocess runs: `python -m onerun.training.worker spec.json`. No Prefect, and the run is not its own.

The spec holds run_id, recipe, snapshot and the work folder; beside it the worker leaves `worker-result.json`: what the
training says of itself, or the name and message of the error.
"""

import atexit
import gc
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

from onerun.config.mistakes import Mistakes
from onerun.config.recipe import Recipe
from onerun.domain.errors import OnerunError
from onerun.domain.references import Snapshot


def work(spec_file: Path) -> int:
    """Return the exit code, 0 or 1."""
    spec = json.loads(spec_file.read_text(encoding="utf-8"))
    result = spec_file.with_name("worker-result.json")
    try:
        result.write_text(_train(spec), encoding="utf-8")
    except (OnerunError, Mistakes) as error:
        result.write_text(
            json.dumps({"error": type(error).__name__, "message": str(error)}), encoding="utf-8"
        )
        print(error, file=sys.stderr)
        return 1
    return 0


def _train(spec: dict[str, Any]) -> str:
    from onerun.training.local import train_here

    recipe = Recipe.model_validate_json(json.dumps(spec["recipe"]))
    snapshot = Snapshot.model_validate(spec["snapshot"])
    return train_here(spec["run_id"], recipe, snapshot, Path(spec["work"])).model_dump_json()


if __name__ == "__main__":
    atexit.register(
        gc.freeze
    )  # else Python looks through all that the libraries made once more before it ends
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    sys.exit(work(Path(sys.argv[1])))
