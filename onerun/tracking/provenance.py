"""What a run needs to explain itself (P8): recipe, profile without secrets, code, dependencies."""

import json
import os
import subprocess
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import yaml

from onerun.config.recipe import Recipe
from onerun.domain import names
from onerun.tracking.runs import log_folder, log_params, set_tags

LONGEST_DIFF = 5_000_000  # characters


def record_provenance(
    run_id: str, recipe: Recipe, profile: Mapping[str, Any], attempt: int, work: Path
) -> None:
    """Log parameters, the resolved recipe, the profile without secrets, git's commit and diff, installed versions."""
    resolved = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    log_params(run_id, flattened(resolved), attempt)
    folder = work / "provenance"
    files = {
        names.ARTIFACT_RECIPE: yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True),
        names.ARTIFACT_PROFILE: yaml.safe_dump(dict(profile), sort_keys=True),
        f"{names.ARTIFACT_REPRODUCE}/requirements.txt": installed(),
    }
    diff = _git("diff", "HEAD")
    if diff:
        files[f"{names.ARTIFACT_REPRODUCE}/changes.diff"] = diff[:LONGEST_DIFF]
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    log_folder(run_id, folder)
    commit = _git("rev-parse", "HEAD").strip() or os.environ.get(
        "ONERUN_COMMIT", ""
    )  # an image has no checkout
    set_tags(run_id, {names.TAG_GIT_COMMIT: commit} if commit else {})


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """`{"split": {"seed": 7}}` → `{"split.seed": "7"}`; lists and empty sections as JSON."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = (
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            )
    return flat


def installed() -> str:
    """Return one `name==version` line per installed distribution, sorted."""
    lines = {f"{found.name}=={found.version}" for found in distributions()}
    return "\n".join(sorted(lines, key=str.lower)) + "\n"


def _git(*arguments: str) -> str:
    """Return git's answer about the working folder; empty outside a checkout or without git."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
