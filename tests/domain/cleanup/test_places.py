"""Every version has a place, a place that nobody knows, or none any more; nothing is guessed."""

import pytest

from onerun.domain.cleanup.artifact_paths import joined, version_address
from onerun.domain.cleanup.inventory import RegisteredVersion

MODEL, RUN = f"m-{'a' * 32}", "b" * 32


@pytest.mark.parametrize(
    ("source", "location", "place"),
    [
        (f"models:/{MODEL}", "", "/of-model"),
        (f"models:/m-{'c' * 32}", "", None),
        (f"models:/{MODEL}/", "", "/of-model"),
        ("s3://b/elsewhere", f"models:/{MODEL}", "/of-model"),
        (f"runs:/{RUN}/model/best", "", "/of-run/model/best"),
        (f"runs:/{RUN}", "", "/of-run"),
        (f"runs:/{'d' * 32}/model", "", None),
        ("models:/m-prices/3", "", ""),
        ("models:/prices/3", "s3://b/prices", "s3://b/prices"),
        ("models:/prices/3", "models:/prices/3", ""),
        ("file:///srv/my models/x", "", "file:///srv/my models/x"),
        ("dbfs:/databricks/x", "", ""),
        ("", "text of a file that is broken", ""),
    ],
)
def test_places(source: str, location: str, place: str | None) -> None:
    version = RegisteredVersion("prices", "1", None, source, (), location)
    runs = {RUN: "/of-run/"}
    assert (
        version_address(
            version, {MODEL: "/of-model"}.get, lambda run, path: joined(runs.get(run), path)
        )
        == place
    )
