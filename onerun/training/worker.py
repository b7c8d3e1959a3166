"""A training subprocess: `python -m onerun.training.worker spec.json`. It attaches to the run and
does not own it.

The spec holds run_id, recipe, snapshot and the work folder; beside it the worker leaves
`worker-result.json`: the training's output, or the name and message of the error.
"""

import atexit
import gc
import json
import logging
import signal
import sys
from pathlib import Path

from onerun.config.mistakes import Mistakes
from onerun.config.recipe import Recipe
from onerun.domain.errors import OnerunError
from onerun.domain.references import Snapshot


def work(spec_file: Path) -> int:
    """Train by the spec and write the result beside it. Returns the exit code, 0 or 1."""
    from onerun.training.local import train_here

    spec = json.loads(spec_file.read_text(encoding="utf-8"))
    result = spec_file.with_name("worker-result.json")
    try:
        recipe = Recipe.model_validate_json(json.dumps(spec["recipe"]))
        snapshot = Snapshot.model_validate(spec["snapshot"])
        output = train_here(spec["run_id"], recipe, snapshot, Path(spec["work"]))
        result.write_text(output.model_dump_json(), encoding="utf-8")
    except (OnerunError, Mistakes) as error:
        failure = {"error": type(error).__name__, "message": str(error)}
        result.write_text(json.dumps(failure), encoding="utf-8")
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    atexit.register(gc.freeze)  # else Python collects all that the libraries made before it ends
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    sys.exit(work(Path(sys.argv[1])))
