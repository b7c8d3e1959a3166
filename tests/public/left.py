"""What a training leaves in MLflow, by names alone; what an archive is made of."""

import json
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import FileInfo

from tests.public import shapes

OF_AN_ARCHIVE = re.compile(r"-[0-9a-f]{12}-\d{8}T\d{12}Z-[0-9a-f]{12}")
WHERE_GIT_IS = {"reproduce/changes.diff", "mlflow.source.git.commit"}  # not in every checkout


def by_training(uri: str, run_id: str, model: str) -> dict[str, list[str]]:
    """Return the names that a finished training left: on its run, its logged model, its registered version."""
    client = MlflowClient(uri, uri)
    run = client.get_run(run_id)
    logged = client.get_logged_model(run.outputs.model_outputs[0].model_id)
    registered, version = client.get_registered_model(model), client.get_model_version(model, "1")
    left = {
        "tags of the run": run.data.tags,
        "parameters of the run": run.data.params,
        "metrics of the run": run.data.metrics,
        "artifacts of the run": _files(lambda path: client.list_artifacts(run_id, path)),
        "inputs of the run": [tag.value for each in run.inputs.dataset_inputs for tag in each.tags],
        "tags of the logged model": logged.tags,
        "parameters of the logged model": logged.params,
        "metrics of the logged model": {metric.key for metric in logged.metrics or ()},
        "artifacts of the logged model": _files(
            lambda path: client.list_logged_model_artifacts(logged.model_id, path)
        ),
        "tags of the registered model": registered.tags,
        "tags of the version": version.tags,
        "aliases of the model": registered.aliases,
    }
    return {what: _shown(found) for what, found in left.items()}


def _shown(found: Iterable[str]) -> list[str]:
    return sorted({shapes.masked(name) for name in found} - WHERE_GIT_IS)


def _files(listed: Any, path: str | None = None) -> Iterator[str]:
    entries: list[FileInfo] = listed(path)
    for entry in entries:
        if entry.is_dir:
            yield from _files(listed, entry.path)
        else:
            yield entry.path


def archive_of_records(archive: Path) -> dict[str, Any]:
    """Return what an archive of records is made of: members, header, manifest, kinds of records and their tables."""
    members = _members(archive)
    first, *_, last = members
    manifest = [json.loads(line) for line in members[last].splitlines()]
    tables: dict[str, set[str]] = {}
    for name, content in members.items():
        for record in map(json.loads, content.splitlines() if name.startswith("records/") else ()):
            tables.setdefault(record["kind"], set()).add(record["table"])
            assert set(record) == {"kind", "id", "table", "rows"}, record
    header = json.loads(members[first])
    return {
        "name": _name(archive),
        "compression and layout": _layout(archive),
        "members": sorted(
            {re.sub(r"^(artifacts/[^/]+)/.*", r"\1/<id>/<path>", name) for name in members}
        ),
        "first and last member": [first, last],
        "format and version": f"{header['format']} {header['version']}",
        "header": shapes.shape(header),
        "line of the manifest": shapes.shape(*manifest[:-1]),
        "last line of the manifest": shapes.shape(manifest[-1]),
        "line of the records": "kind, id, table, rows",
        "tables of each kind of record": {kind: sorted(found) for kind, found in tables.items()},
    }


def archive_of_folders(archive: Path) -> dict[str, Any]:
    """Return what an archive of folders is made of."""
    members = _members(archive)
    manifest = [json.loads(line) for line in members["manifest.jsonl"].splitlines()]
    header = json.loads(members["header.json"])
    return {
        "name": _name(archive),
        "compression and layout": _layout(archive),
        "members": sorted(shapes.masked(name) for name in members),
        "first and last member": [next(iter(members)), list(members)[-1]],
        "format and version": f"{header['format']} {header['version']}",
        "header": shapes.shape(header),
        "line of the manifest": shapes.shape(*manifest[:-1]),
        "last line of the manifest": shapes.shape(manifest[-1]),
    }


def _name(archive: Path) -> str:
    return OF_AN_ARCHIVE.sub("-<store>-<moment>-<digest>", archive.name)


def _layout(archive: Path) -> str:
    with tarfile.open(archive, "r:gz") as opened:
        opened.getmembers()
        return f"gzip, tar {'pax' if opened.format == tarfile.PAX_FORMAT else opened.format}"


def _members(archive: Path) -> dict[str, bytes]:
    """Return name -> content, in the archive's order; folders are empty."""
    with tarfile.open(archive, "r:gz") as opened:
        return {
            each.name: held.read() if (held := opened.extractfile(each)) else b"" for each in opened
        }
