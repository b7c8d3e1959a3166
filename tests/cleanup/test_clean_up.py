"""P4 on a real store: what goes, goes whole and is archived; what anybody needs, stays whole."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onerun import archive as archives
from onerun.archive import restore
from onerun.cleanup import execution
from onerun.cleanup.execution import TooMuch, apply
from onerun.cleanup.planner import plan_store
from onerun.config.loading import load_policy
from onerun.config.policy import Policy
from onerun.domain.cleanup.plan import BatchSizer, Item, Plan
from onerun.domain.cleanup.result import Result
from onerun.store.protocol import open_store
from onerun.tracking.runs import client
from tests.cleanup.conftest import POSTGRESQL, SQLITE, MakeRun, log_model, on, texts

NOW = int(time.time() * 1000)
RULES = "keep: {younger_than: 30d, last: 0}\nmax_delete: 100%\n"
BACKUPS = ".onerun/backups"


def policy(action: str, more: str = "") -> Policy:
    return load_policy(f"action: {action}\n{RULES}{more}").with_archives(BACKUPS)


def planned(rules: Policy, live: set[str] | None = None) -> tuple[Plan, list[Item]]:
    plan, spool = plan_store(open_store(), rules, live or set(), NOW)
    with spool:
        return plan, [item for share in spool for item in share.items]


def clean_up(rules: Policy, live: set[str] | None = None) -> Result:
    store = open_store()
    with store.exclusive_lock():
        plan, spool = plan_store(store, rules, live or set(), NOW)
        with spool:
            return apply(store, rules, plan, spool)


def runs_left(experiment: str, lifecycle: int = 3) -> set[str]:
    return {run.info.run_id for run in client().search_runs([experiment], run_view_type=lifecycle)}


def rows(table: str) -> int:
    from sqlalchemy import text

    store = open_store()
    with store.database.reading() as connection:  # type: ignore[attr-defined]
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar())


OF_RUNS = (
    "runs", "metrics", "latest_metrics", "params", "tags", "inputs", "input_tags", "logged_models",
    "logged_model_tags", "logged_model_metrics", "logged_model_params",
)  # fmt: skip


def test_the_plan_says_what_why_and_how_many_bytes_and_changes_nothing(
    experiment: str, make_run: MakeRun, tmp_path: Path
) -> None:
    old, young = make_run(40, NOW), make_run(3, NOW)
    log_model(old)
    before = (tmp_path / "mlflow.db").read_bytes(), sorted(tmp_path.rglob("*"))
    plan, items = planned(policy("hard_delete"))
    assert (tmp_path / "mlflow.db").read_bytes() == before[0]
    assert sorted(tmp_path.rglob("*")) == before[1]
    (item,) = items
    assert (item.id, item.why, item.bytes) == (old, "FINISHED 40 days ago", 1500)
    assert (plan.runs, plan.to_delete, plan.bytes, plan.experiments) == (2, 1, 1500, 2)
    assert young in runs_left(experiment)


def test_hard_delete_leaves_no_row_and_no_file(
    experiment: str, make_run: MakeRun, tmp_path: Path
) -> None:
    young = make_run(3, NOW)
    kept_model = log_model(young)
    before = {table: rows(table) for table in OF_RUNS}
    old = make_run(40, NOW)
    gone = log_model(old)
    result = clean_up(policy("hard_delete"))
    assert (result.done, result.bytes, texts(result.skipped)) == (1, 1500, {})
    assert {table: rows(table) for table in OF_RUNS} == before
    houses = tmp_path / "artifacts" / "houses"
    assert not (houses / old).exists()
    assert not (houses / "models" / gone).exists()
    assert (houses / young / "artifacts" / "data.bin").exists()
    assert (houses / "models" / kept_model / "artifacts" / "MLmodel").exists()
    assert Path(result.archive).exists()
    assert list((tmp_path / ".onerun" / "backups" / "journals").iterdir()) == []


def test_what_was_deleted_for_good_comes_back_from_the_archive(
    experiment: str, make_run: MakeRun, tmp_path: Path
) -> None:
    old = make_run(40, NOW)
    model = log_model(old)
    mlflow = client()
    before = mlflow.get_run(old).to_dictionary(), mlflow.get_logged_model(model).to_dictionary()
    history = [metric.to_dictionary() for metric in mlflow.get_metric_history(old, "rmse")]
    result = clean_up(policy("hard_delete"))
    assert old not in runs_left(experiment)
    assert restore(result.archive, apply=True).new > 0
    assert (
        mlflow.get_run(old).to_dictionary(),
        mlflow.get_logged_model(model).to_dictionary(),
    ) == before
    assert [metric.to_dictionary() for metric in mlflow.get_metric_history(old, "rmse")] == history
    assert (
        tmp_path / "artifacts" / "houses" / old / "artifacts" / "data.bin"
    ).read_bytes() == b"x" * 1000


def test_files_of_one_batch_go_while_the_rows_of_the_next_one_go(
    experiment: str, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "BatchSizer", lambda: BatchSizer(1))
    young, *_ = make_run(3, NOW), *(make_run(40, NOW) for _ in range(12))
    assert clean_up(policy("hard_delete")).done == 12
    assert runs_left(experiment) == {young}
    assert [path.name for path in (tmp_path / "artifacts" / "houses").iterdir()] == [young]
    assert list((tmp_path / BACKUPS / "journals").iterdir()) == []


def test_only_so_many_archives_are_kept(experiment: str, make_run: MakeRun, tmp_path: Path) -> None:
    for _ in range(3):
        make_run(40, NOW)
        clean_up(policy("hard_delete", "backups: {keep: 2}\n"))
    assert (
        len([path for path in (tmp_path / ".onerun" / "backups").iterdir() if path.is_file()]) == 2
    )


def test_what_protects_is_seen_in_the_store(experiment: str, make_run: MakeRun) -> None:
    names = ("registered", "pinned", "tagged", "running", "live", "parent")
    registered = make_run(40, NOW)
    log_model(registered, register="prices")
    client().set_registered_model_alias("prices", "champion", "1")
    pinned, tagged = make_run(40, NOW, pin="1"), make_run(40, NOW, **{"release.2": "x"})
    running = make_run(40, NOW, status="RUNNING")
    live = make_run(40, NOW, status="FAILED", **{"onerun.flow_run_id": "f-1"})
    parent = make_run(40, NOW)
    make_run(3, NOW, **{"mlflow.parentRunId": parent})
    gone = make_run(40, NOW)
    rules = policy("hard_delete", "protect: {tags: ['release.*']}\n")
    plan, items = planned(rules, {"f-1"})
    assert [item.id for item in items] == [gone]
    words = {kept.id: str(kept.protected_by) for kept in plan.skipped}
    assert [words[each].partition(" of ")[0] for each in (registered, pinned, tagged, running, live, parent)] == [
        "prices version 1 (champion)", "tag pin", "tag release.2=x"[:13], "has status RUNNING", "its flow run is live",
        "parent or child",
    ]  # fmt: skip
    assert len(words) == len(names)


def removed_by_hand(*runs: str) -> None:
    """As `mlflow gc` does it, files aside."""
    from sqlalchemy import text

    with open_store().database.writing() as connection:  # type: ignore[attr-defined]
        for run in runs:
            for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
                connection.execute(text(f"DELETE FROM {table} WHERE run_uuid = '{run}'"))


@on(SQLITE, POSTGRESQL)
def test_what_somebody_removed_after_the_plan_ends_nothing(
    experiment: str, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a person is asked, for a week at most. Files of what no archive holds stay, in every journal too."""
    gone, quiet = make_run(40, NOW), make_run(40, NOW)
    log_model(gone)
    store, rules = open_store(), policy("hard_delete")
    plan, spool = plan_store(store, rules, set(), NOW)
    removed_by_hand(gone)
    with spool, monkeypatch.context() as patch:
        patch.setattr(execution.journal, "close", lambda written: None)
        result = apply(store, rules, plan, spool)
    assert (result.done, texts(result.skipped)) == (1, {gone: "is not there any more"})
    assert quiet not in runs_left(experiment)
    clean_up(rules)  # finishes what the journal says
    assert (tmp_path / "artifacts" / "houses" / gone / "artifacts" / "data.bin").exists()
    assert restore(result.archive).found["run"] == {"new": 1}


def test_when_all_of_the_plan_is_gone_nothing_is_archived_or_deleted(
    experiment: str, make_run: MakeRun, tmp_path: Path
) -> None:
    gone, young, emptied = (
        make_run(40, NOW),
        make_run(3, NOW),
        client().create_experiment("emptied"),
    )
    store, rules = open_store(), policy("hard_delete")
    from sqlalchemy import text

    client().delete_experiment(emptied)
    with store.database.writing() as connection:  # type: ignore[attr-defined]
        connection.execute(
            text(f"UPDATE experiments SET last_update_time = 1 WHERE experiment_id = {emptied}")
        )
    plan, spool = plan_store(store, rules, set(), NOW)
    assert (plan.to_delete, plan.experiments_to_delete) == (1, 1)
    removed_by_hand(gone)
    with store.database.writing() as connection:  # type: ignore[attr-defined]
        connection.execute(text(f"DELETE FROM experiments WHERE experiment_id = {emptied}"))
    with spool:
        result = apply(store, rules, plan, spool)
    assert (result.done, result.archive) == (0, "")
    assert texts(result.skipped) == {
        gone: "is not there any more",
        emptied: "is not there any more",
    }
    assert runs_left(experiment) == {young}
    assert not list(tmp_path.rglob("*.tar.gz"))
    assert (tmp_path / "artifacts" / "houses" / gone / "artifacts" / "data.bin").exists()


def test_an_experiment_that_is_pinned_after_the_plan_stays_whole(
    experiment: str, make_run: MakeRun
) -> None:
    old, store, rules = (
        make_run(40, NOW),
        open_store(),
        policy("hard_delete", "protect: {tags: ['keep=y*']}\n"),
    )
    client().set_experiment_tag(experiment, "keep", "no")
    plan, spool = plan_store(store, rules, set(), NOW)
    client().set_experiment_tag(experiment, "keep", "yes")
    with spool:
        assert texts(apply(store, rules, plan, spool).skipped) == {
            old: "tag keep=yes of the experiment"
        }
    assert old in runs_left(experiment)


def test_a_deleted_experiment_that_is_pinned_after_the_plan_stays(
    experiment: str, store_uri: str
) -> None:
    from sqlalchemy import text

    store, rules = open_store(), policy("hard_delete")
    client().delete_experiment(experiment)
    with store.database.writing() as connection:  # type: ignore[attr-defined]
        connection.execute(text("UPDATE experiments SET last_update_time = 1"))
        connection.execute(text(f"INSERT INTO experiment_tags VALUES ('pin', '1', {experiment})"))
    items = [Item("experiment", experiment, "houses", experiment, "houses", "", 0, (), "deleted")]
    assert texts(store.hard_delete_experiments(items, rules).skipped) == {
        experiment: "tag pin of the experiment"
    }


def test_what_measured_a_registered_model_stays_with_its_metrics(
    experiment: str, make_run: MakeRun
) -> None:
    trained, judge, late, mlflow = make_run(3, NOW), make_run(40, NOW), make_run(40, NOW), client()
    model, other = log_model(trained, register="prices"), log_model(make_run(3, NOW))
    mlflow.log_metric(judge, "rmse", 1.0, model_id=model)
    mlflow.log_metric(late, "rmse", 2.0, model_id=other)
    store, rules = open_store(), policy("hard_delete")
    plan, spool = plan_store(store, rules, set(), NOW)
    assert [(kept.id, str(kept.protected_by)) for kept in plan.skipped] == [
        (judge, "measured prices version 1")
    ]
    assert plan.protected == {"measured a registered model": 1}
    mlflow.create_model_version("prices", f"models:/{other}", model_id=other)
    with spool:
        assert texts(apply(store, rules, plan, spool).skipped) == {late: "prices version 2"}
    assert {metric.value for metric in mlflow.get_logged_model(other).metrics} >= {2.0}


@on(SQLITE, POSTGRESQL)
def test_what_an_issue_names_stays(experiment: str, make_run: MakeRun, store_uri: str) -> None:
    """The database would empty the issue's column, which no archive holds."""
    named, late, gone = (make_run(40, NOW) for _ in range(3))
    store, rules = open_store(), policy("hard_delete")

    def issue(number: int, run: str) -> None:
        from sqlalchemy import text

        columns = "issue_id, experiment_id, name, description, status, created_timestamp, last_updated_timestamp"
        values = f"'iss-{number}', {experiment}, 'n', 'd', 'open', 0, 0, '{run}'"
        with store.database.writing() as connection:  # type: ignore[attr-defined]
            connection.execute(
                text(f"INSERT INTO issues ({columns}, source_run_id) VALUES ({values})")
            )

    issue(1, named)
    plan, spool = plan_store(store, rules, set(), NOW)
    assert [(kept.id, str(kept.protected_by)) for kept in plan.skipped] == [
        (named, "issue iss-1 names it")
    ]
    assert plan.protected == {"named by an issue": 1}
    issue(2, late)
    with spool:
        result = apply(store, rules, plan, spool)
    assert (result.done, texts(result.skipped)) == (1, {late: "issue iss-2 names it"})
    assert runs_left(experiment) == {named, late}
    assert gone not in runs_left(experiment)


def after_the_archive(monkeypatch: pytest.MonkeyPatch, does: Callable[[], object]) -> None:
    back_up = archives.back_up

    def then(*given: Any, **more: Any) -> Any:
        archive = back_up(*given, **more)
        does()
        return archive

    monkeypatch.setattr(archives, "back_up", then)


def test_files_that_come_while_the_archive_is_written_stay(
    experiment: str, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, quiet = make_run(40, NOW), make_run(40, NOW)
    new = tmp_path / "artifacts" / "houses" / late / "artifacts" / "deep" / "late.txt"

    def write() -> None:
        time.sleep(0.05)
        new.parent.mkdir()
        new.write_text("nobody archived this")

    after_the_archive(monkeypatch, write)
    result = clean_up(policy("hard_delete"))
    assert new.read_text() == "nobody archived this"
    assert any(f"{late} was changed after it was archived" in note for note in result.notes)
    assert not (tmp_path / "artifacts" / "houses" / quiet).exists()


def log_input(run: str, model: str) -> None:
    from mlflow.entities import Dataset, DatasetInput

    client().log_inputs(run, [DatasetInput(Dataset("late", "digest", "local", "{}"))])


RECORDS_AFTER_THE_ARCHIVE: dict[str, Callable[[str, str], object]] = {
    "another value of a tag": lambda run, model: client().set_tag(run, "note", "y"),
    "a tag less": lambda run, model: client().delete_tag(run, "note"),
    "one more step of a metric": lambda run, model: client().log_metric(run, "rmse", 1.0, step=9),
    "another parameter": lambda run, model: client().log_param(run, "late", "1"),
    "one more input": log_input,
    "a new model": lambda run, model: log_model(run, "second"),
    "a tag of its model": lambda run, model: client().set_logged_model_tags(model, {"a": "c"}),
    "a metric of its model": lambda run, model: client().log_metric(
        client().create_run(client().get_run(run).info.experiment_id).info.run_id,
        "rmse",
        1.0,
        model_id=model,
    ),
}


@pytest.mark.parametrize("case", RECORDS_AFTER_THE_ARCHIVE)
def test_what_is_logged_while_the_archive_is_written_stays_with_its_family(
    case: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, quiet = make_run(40, NOW), make_run(40, NOW)
    child, model = make_run(40, NOW, **{"mlflow.parentRunId": late}), log_model(late)
    after_the_archive(monkeypatch, lambda: RECORDS_AFTER_THE_ARCHIVE[case](late, model))
    result = clean_up(policy("hard_delete"))
    assert texts(result.skipped) == {
        late: "its records changed since they were archived",
        child: f"parent or child of {late}, which is kept",
    }
    assert result.done == 1
    assert quiet not in runs_left(client().get_run(late).info.experiment_id)


def test_a_store_below_a_folder_with_spaces_is_measured_and_emptied(
    store_uri: str, make_run: MakeRun, tmp_path: Path
) -> None:
    place = tmp_path / "my störe %20"
    spaced = client().create_experiment("spaced", artifact_location=place.as_uri())
    folder = place / make_run(40, NOW, experiment=spaced)
    (folder / "artifacts").mkdir(parents=True)
    (folder / "artifacts" / "data.bin").write_bytes(b"x" * 1000)
    assert planned(policy("hard_delete"))[0].bytes == 1000
    assert clean_up(policy("hard_delete")).done == 1
    assert not folder.exists()


def test_a_deleted_experiment_goes_with_its_last_run(experiment: str, make_run: MakeRun) -> None:
    make_run(40, NOW)
    client().delete_experiment(experiment)
    from sqlalchemy import text

    store = open_store()
    with store.database.writing() as connection:  # type: ignore[attr-defined]
        connection.execute(text(f"UPDATE runs SET deleted_time = {NOW - 10 * 86_400_000}"))
        connection.execute(
            text(f"UPDATE experiments SET last_update_time = {NOW - 10 * 86_400_000}")
        )
    result = clean_up(policy("hard_delete"))
    assert (result.done, result.experiments) == (1, 1)
    assert [each.name for each in client().search_experiments(view_type=3)] == ["Default"]


def test_the_archives_of_another_store_stay(
    experiment: str,
    make_run: MakeRun,
    empty_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One policy, one place for archives, two stores."""
    rules = load_policy(f"action: hard_delete\n{RULES}backups: {{to: {tmp_path}/kept, keep: 1}}\n")
    make_run(40, NOW)
    first = clean_up(rules).archive
    shutil.copy(empty_store, tmp_path / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    again = client().create_experiment("houses", artifact_location=(tmp_path / "other").as_uri())
    for _ in range(2):
        make_run(40, NOW, experiment=again)
        second = clean_up(rules)
        assert second.done == 1
    assert sorted((tmp_path / "kept").glob("*.tar.gz")) == sorted(
        [Path(first), Path(second.archive)]
    )


def test_more_than_max_delete_is_refused(experiment: str, make_run: MakeRun) -> None:
    for _ in range(3):
        make_run(40, NOW)
    rules = load_policy("action: hard_delete\nkeep: {last: 0}\n").with_archives(BACKUPS)
    store = open_store()
    plan, spool = plan_store(store, rules, set(), NOW)
    with spool:
        with pytest.raises(TooMuch, match="3 of 3 runs"):
            apply(store, rules, plan, spool)
        assert len(runs_left(experiment)) == 3
        assert apply(store, rules, plan, spool, yes_really=True).done == 3


def test_files_outside_the_experiments_own_folder_stay(
    experiment: str, make_run: MakeRun, tmp_path: Path
) -> None:
    linked, outside = make_run(40, NOW), make_run(40, NOW)
    folder = tmp_path / "artifacts" / "houses" / linked
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    from sqlalchemy import text

    store = open_store()
    with store.database.writing() as connection:  # type: ignore[attr-defined]
        connection.execute(
            text(f"UPDATE runs SET artifact_uri = '{tmp_path}' WHERE run_uuid = '{outside}'")
        )
    result = clean_up(policy("hard_delete"))
    assert result.done == 2
    assert (elsewhere / "artifacts" / "data.bin").exists()
    assert (tmp_path / "artifacts" / "houses" / outside / "artifacts" / "data.bin").exists()
    assert any(f"{folder} is a link" in note for note in result.notes)


def test_a_run_whose_files_were_left_elsewhere_comes_back(
    experiment: str, make_run: MakeRun, tmp_path: Path
) -> None:
    from sqlalchemy import text

    old = make_run(40, NOW)
    (tmp_path / "artifacts" / "houses" / old / "artifacts").rename(tmp_path / "earlier")
    with open_store().database.writing() as connection:  # type: ignore[attr-defined]
        connection.execute(
            text(f"UPDATE runs SET artifact_uri = '{(tmp_path / 'earlier').as_uri()}'")
        )
    result = clean_up(policy("hard_delete"))
    assert (result.done, runs_left(experiment)) == (1, set())
    assert restore(result.archive, apply=True).found["files"] == {"same": 1}
    assert runs_left(experiment) == {old}
