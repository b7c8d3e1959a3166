"""Everything that goes, and every run kept against the rule, stands in a file, however many there are."""

import json
from pathlib import Path

import pytest

from onerun.commands.maintain import COMMAND
from onerun.store.protocol import open_store

main = COMMAND.main

GOING, KEPT = 240, 210
POLICY = "name: ours\nkeep: {last: 0}\nmax_delete: 100%\naction: hard_delete\n"


@pytest.fixture
def many_runs(experiment: str) -> None:
    """Old runs, written as rows; the last of them are pinned."""
    from sqlalchemy import text

    run = {"experiment": experiment, "ended": 1, "count": GOING + KEPT, "going": GOING}
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
    columns = "run_uuid, name, experiment_id, status, lifecycle_stage, start_time, end_time"
    values = "printf('%032x', i), 'r', :experiment, 'FINISHED', 'active', :ended, :ended"
    with open_store().database.writing() as connection:  # type: ignore[attr-defined]
        connection.execute(
            text(f"INSERT INTO runs ({columns}) {numbers} SELECT {values} FROM n"), run
        )
        pins = f"INSERT INTO tags (key, value, run_uuid) {numbers} SELECT 'pin', '1', printf('%032x', i) FROM n"
        connection.execute(text(f"{pins} WHERE i > :going"), run)


def test_all_of_a_plan_stands_in_its_list(
    many_runs: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--policy", POLICY, "--report", "plan.html"]) == 0
    told = capsys.readouterr().out
    assert "  ... and 230 more would go (plan.jsonl has all)" in told
    assert "  ... and 200 more are protected (plan.jsonl has all)" in told
    lines = [json.loads(line) for line in (tmp_path / "plan.jsonl").read_text().splitlines()]
    going = [line for line in lines if line["plan"] == "goes"]
    kept = [line for line in lines if line["plan"] == "kept"]
    assert [line["id"] for line in going] == [f"{number:032x}" for number in range(1, GOING + 1)]
    assert {line["id"] for line in kept} == {
        f"{number:032x}" for number in range(GOING + 1, GOING + KEPT + 1)
    }
    assert {(line["experiment"], line["protected_by"]) for line in kept} == {("houses", "tag pin")}
    assert going[0]["why"].startswith("FINISHED ")
    page = (tmp_path / "plan.html").read_text()
    for words in ("The first 200 of 240.", "The first 200 of 210.", '<a href="plan.jsonl">'):
        assert words in page


def test_without_a_report_it_says_how_to_get_all(
    many_runs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--policy", POLICY]) == 0
    assert "  ... and 200 more are protected (--report FILE lists all)" in capsys.readouterr().out


def test_a_list_that_cannot_be_written_stops_it_before_anything_is_done(
    many_runs: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert main(["--policy", POLICY, "--apply", "--report", "file/plan.html"]) in (1, 2)
    assert "file" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.tar.gz"))
    assert len(open_store().existing([f"{number:032x}" for number in range(1, GOING + 1)])) == GOING
