"""`python -m flows.maintain`: the command and the flow, what they say, whom they ask and whom they tell."""

import json
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from flows import maintain as maintain_flow
from flows.maintenance import MAINTAIN, SUMMARY
from flows.reconciling import liveness
from onerun.cleanup.execution import TooMuch
from onerun.cleanup.reports import address_of_report, keep_report, list_beside, write_list
from onerun.commands.dead_runs import NoOrchestrator
from onerun.commands.maintain import COMMAND, MaintainOptions, checked_policy, with_store
from onerun.config.mistakes import Mistakes
from onerun.config.policy import Policy
from onerun.domain import names
from onerun.processes.identity import this_process
from onerun.store.protocol import open_store
from onerun.tracking.database import make_whole
from onerun.tracking.runs import client
from tests.cleanup.conftest import texts

main, summary = MAINTAIN.main, SUMMARY.main
DAY = 86_400_000
POLICY = "name: ours\nkeep: {last: 0}\nmax_delete: 100%\naction: hard_delete\n"
WEEKLY = str(Path(__file__).parents[2] / "policies" / "weekly.yaml")
ASKS = POLICY + "approval: manual\nnotify: ['${CHANNEL}']\n"


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Path:
    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    make_whole(f"sqlite:///{file}")
    return file


@pytest.fixture
def old_run(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns: a run that the policy lets go, in a store of this test's own."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client().create_experiment(
        "houses", artifact_location=(tmp_path / "artifacts").as_uri()
    )
    ended = int(time.time() * 1000) - 40 * DAY
    run = client().create_run(experiment, start_time=ended).info
    Path(run.artifact_uri.removeprefix("file://")).mkdir(parents=True)
    Path(run.artifact_uri.removeprefix("file://"), "x").write_text("x")
    client().set_terminated(run.run_id, "FINISHED", ended)
    return str(run.run_id)


def is_there(run_id: str) -> bool:
    return any(run.info.run_id == run_id for run in client().search_runs(["1"], run_view_type=3))


@pytest.fixture
def listener() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Returns: Apprise's address of a real HTTP server, and what it was told."""
    told: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"json://127.0.0.1:{server.server_port}/channel", told
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--yes-really" in capsys.readouterr().out


def test_p4_which_flow_runs_live_is_asked_again_before_anything_is_done(
    old_run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stand-in for Prefect's answers: nobody lives for the plan, the run's flow run does afterwards."""
    answers = iter([frozenset(), frozenset({"f-1"})])
    monkeypatch.setattr(liveness, "live_flow_runs", lambda: next(answers))
    client().set_tag(old_run, names.TAG_FLOW_RUN_ID, "f-1")
    assert main(["--policy", POLICY, "--apply", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["plan"]["going"], told["result"]["left"]) == (1, {old_run: "its flow run is live"})
    assert is_there(old_run)


def test_the_plan_changes_nothing_and_says_how_to_go_on(
    old_run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--policy", POLICY, "--report", "report.html"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(
        "plan of ours: 1 of 1 runs in 2 experiments would be deleted for good, 1 B"
    )
    assert f"run {old_run} of houses: FINISHED 40 days ago; 1 B" in told
    assert "Set PREFECT_API_URL" in told
    assert "nothing was changed; --apply does it" in told
    assert is_there(old_run)
    page = Path("report.html").read_text()
    assert "nothing was changed" in page
    assert old_run in page
    assert not [word for word in ("http://", "https://", "src=", "@import") if word in page]


def test_it_deletes_tells_and_can_be_undone(
    old_run: str, listener: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    from onerun.archive import restore

    monkeypatch.setenv("CHANNEL", listener[0])
    monkeypatch.setenv("WRONG", "nonsense")
    assert (
        main(["--policy", POLICY + "notify: ['${CHANNEL}', '${WRONG}']\n", "--apply", "--json"])
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert not is_there(old_run)
    (message,) = listener[1]
    assert message["title"] == "maintenance: ours"
    assert "done: 1 runs deleted for good, 1 B" in message["message"]
    assert told["result"]["notes"] == [
        "${WRONG} is not an address that Apprise knows; nothing was sent"
    ]
    assert told["result"]["archive"].startswith(f"{tmp_path}/.onerun/backups/ours-"), (
        "the profile's store"
    )
    restore(told["result"]["archive"], apply=True)
    assert is_there(old_run)


def test_mistakes_come_before_work(old_run: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["--policy", "nothing"], "no such policy"),
        (
            ["--policy", POLICY, "--set", "keep.lost=1"],
            "--set: keep.lost: unknown key; did you mean last?",
        ),
        (["--policy", POLICY + "notify: ['${NOT_SET}']\n"], "${NOT_SET} is not set"),
        (["--policy", POLICY, "--store", "nowhere"], "nowhere: no such folder"),
        (["--policy", POLICY, "--store", "sqlite:///x.db"], "expected a folder"),
        (["--policy", POLICY + "approval: manual\n", "--apply"], "approval: is manual"),
    ):
        assert main(arguments) == 2, arguments
        assert said in capsys.readouterr().err
    assert is_there(old_run)


def test_more_than_max_delete_is_exit_code_1(
    old_run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--policy", POLICY, "--set", "max_delete=20%", "--apply"]) == 1
    assert "say --yes-really" in capsys.readouterr().err
    assert is_there(old_run)


def test_nobody_is_asked_to_approve_what_is_refused_anyway(
    old_run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = ["--policy", POLICY + "approval: manual\n", "--set", "max_delete=20%", "--apply"]
    assert main(refused) == 1
    assert "say --yes-really" in capsys.readouterr().err
    assert main([*refused, "--yes-really"]) == 2
    assert "approval: is manual" in capsys.readouterr().err
    assert is_there(old_run)


def test_an_apply_that_fails_is_told_and_its_error_stays(
    old_run: str, listener: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("CHANNEL", listener[0])
    monkeypatch.setenv("WRONG", "nonsense")
    asked = ["--policy", POLICY + "notify: ['${CHANNEL}', '${WRONG}']\n", "--apply"]
    assert main([*asked, "--set", "max_delete=20%"]) == 1
    said = capsys.readouterr().err
    assert "say --yes-really" in said
    assert "${WRONG} is not an address that Apprise knows; nothing was sent" in said
    with open_store().exclusive_lock():
        assert main(asked) == 1
    Path("no-folder").write_text("a file")
    assert main([*asked, "--set", "backups.to=no-folder"]) in (1, 2)
    assert main([*asked, "--set", "approval=manual"]) == 2
    assert [message["title"] for message in listener[1]] == ["maintenance: ours failed"] * 4
    for message, words in zip(
        listener[1], ("--yes-really", "another clean-up", "no-folder", "is manual"), strict=True
    ):
        assert words in message["message"]
    main(["--policy", POLICY + "notify: ['${CHANNEL}']\n", "--store", "nowhere"])
    assert len(listener[1]) == 4, "a plan at a terminal is read there"
    assert is_there(old_run)


def store_of(policy: str, overrides: Sequence[str]) -> Policy:
    return with_store(
        checked_policy(policy, overrides), MaintainOptions(store="mlruns"), NoOrchestrator()
    )[0]


def test_archives_go_to_the_profiles_store_also_for_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container the working directory dies with it; what the policy says goes before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONERUN_STORE", "s3://ours/data")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    assert store_of(POLICY, ()).archives == "s3://ours/data/backups"
    assert store_of(WEEKLY, ()).archives == "s3://ours/data/backups"
    assert store_of(POLICY, ["backups.to=here"]).archives == f"{tmp_path}/here"
    with pytest.raises(Mistakes, match="is missing, and no profile names a store"):
        _ = checked_policy(POLICY, ()).archives


def test_reports_of_a_policy_are_kept_as_its_archives_are(tmp_path: Path) -> None:
    policy = checked_policy(POLICY, [f"backups.to={tmp_path}", "backups.keep=2"])
    other = tmp_path / "reports" / "ours-too-0123456789ab-20260101T000000000000Z.html"
    for second in (3, 1, 2, 4):
        address = address_of_report(policy, "0123456789ab", second * 1000)
        write_list([], list_beside(address))
        keep_report(policy, address, f"page {second}")
        other.touch()
    keep_report(policy, address_of_report(policy, "ba9876543210", 0), "page of another store")
    pages = sorted(path.read_text() for path in (tmp_path / "reports").glob("*.html"))
    assert pages == ["", "page 3", "page 4", "page of another store"]
    assert len(list((tmp_path / "reports").glob("*.jsonl"))) == 2


def test_a_summary_is_told(old_run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert summary([]) == 0
    told = capsys.readouterr().out
    assert "runs               1 (1 FINISHED)" in told
    assert "troubles           0" in told


@pytest.mark.slow
def test_plan_and_summary_tell_of_a_run_that_reads_running_and_is_dead(
    old_run: str, prefect_api: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = this_process().model_copy(update={"start": 1}).model_dump_json()
    tags = {names.TAG_FLOW_RUN_ID: str(uuid4()), names.TAG_PROCESS: gone, names.TAG_RUN_COUNT: "1"}
    run = client().create_run("1", tags=tags).info
    dead = run.run_id
    Path(run.artifact_uri.removeprefix("file://")).mkdir(parents=True)
    Path(run.artifact_uri.removeprefix("file://"), "x").write_text("left")
    for command, *arguments in ((summary,), (main, "--policy", POLICY)):
        assert command([*arguments, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        (found,) = told.get("troubles") or told["findings"]
        assert (found["kind"], found["id"]) == ("dead-running", dead)
        assert "Prefect does not know its flow run" in found["cause"]
        assert (found["bytes"], found["path"]) == (4, client().get_run(dead).info.artifact_uri)


@pytest.mark.slow
def test_p4_the_flow_too_asks_again_which_flow_runs_live(
    old_run: str, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for Prefect's answers: nobody lives for the plan, the run's flow run does afterwards."""
    answers = iter([frozenset(), frozenset({"f-1"})])
    monkeypatch.setattr(liveness, "live_flow_runs", lambda: next(answers))
    client().set_tag(old_run, names.TAG_FLOW_RUN_ID, "f-1")
    told = maintain_flow.maintain(POLICY, apply=True)
    assert (told.plan.to_delete, texts(told.result.skipped)) == (
        1,
        {old_run: "its flow run is live"},
    )
    assert is_there(old_run)


@pytest.mark.slow
def test_the_flow_asks_a_person_and_shows_plan_and_result(
    old_run: str, prefect_api: str, listener: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    module = maintain_flow
    monkeypatch.setenv("CHANNEL", listener[0])
    told = listener[1]
    planned = module.maintain(ASKS)
    assert planned.status == "planned"
    with pytest.raises(TooMuch):
        module.maintain(ASKS, apply=True, overrides=["max_delete=20%"])
    answered(False, module)
    assert is_there(old_run)
    flow_run = answered(True, module)
    assert not is_there(old_run)
    assert [message["title"].removeprefix("maintenance: ours") for message in told] == [
        " is planned", " failed", " waits for a person", " was not approved", " waits for a person", "",
    ]  # fmt: skip
    assert told[2]["message"].startswith(
        "answer within a week: delete 1 of 1 runs, 1 B, for good?\nhttp://127.0.0.1"
    )
    assert flow_run in told[4]["message"]
    assert "say --yes-really" in told[1]["message"]
    assert "/runs/flow-run/" in told[1]["message"]
    report = Path(planned.report)
    assert report.parent == tmp_path / ".onerun" / "backups" / "reports"
    (line,) = Path(planned.listed).read_text().splitlines()
    assert (json.loads(line)["plan"], json.loads(line)["id"]) == ("goes", old_run)
    assert Path(planned.listed).name in report.read_text()
    assert "nothing was changed" in report.read_text()
    with get_client(sync_client=True) as prefect:
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run]))
        artifacts = {
            str(each.key): str(each.data) for each in prefect.read_artifacts(artifact_filter=wanted)
        }
    assert {
        "maintenance-ours-plan",
        "maintenance-ours-troubles",
        "maintenance-ours-result",
    } <= artifacts.keys()
    assert "houses" in artifacts["maintenance-ours-plan"]
    assert "done: 1 runs deleted for good" in artifacts["maintenance-ours-result"]
    last = max(report.parent.glob("*.html"))
    assert str(last) in told[-1]["message"]
    assert str(last) in artifacts["maintenance-ours-result"]
    assert last.as_uri() in artifacts["maintenance-ours-report"]
    assert ">What was done<" in last.read_text()


def answered(yes: bool, module: Any) -> Any:
    """Runs the flow and, when it waits for a person, answers through Prefect's API. Returns: the flow run's id."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowFilter,
        FlowFilterName,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    module.LOOKS_EVERY = 1
    settings, asked = get_current_settings(), []
    ours = FlowFilter(
        name=FlowFilterName(any_=["maintain"])
    )  # other tests leave flow runs that are paused
    paused = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=["PAUSED"])))

    def answer() -> None:
        with (
            temporary_settings({PREFECT_API_URL: settings.api.url}),
            get_client(sync_client=True) as prefect,
        ):
            for _ in range(200):
                if found := prefect.read_flow_runs(flow_filter=ours, flow_run_filter=paused):
                    prefect.resume_flow_run(found[0].id, run_input={"delete_for_good": yes})
                    asked.append(found[0].id)
                    return
                time.sleep(0.5)

    person = threading.Thread(target=answer)
    person.start()
    result = module.maintain(ASKS, apply=True)
    person.join()
    assert result.status == ("done" if yes else "planned")
    return str(asked[0])


def test_without_asking_a_named_server_nothing_is_changed(
    old_run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A flow run that waits for a retry has a run that reads like any other that failed."""
    monkeypatch.setenv("PREFECT_API_URL", "http://user:secret@127.0.0.1:9/api")
    assert COMMAND.main(["--policy", POLICY]) == 0
    assert "`python -m flows.maintain` asks the server" in capsys.readouterr().out
    assert COMMAND.main(["--policy", POLICY, "--apply"]) == 2
    said = capsys.readouterr().err
    assert "PREFECT_API_URL: names http://" in said
    assert "nothing was changed. Run `python -m flows.maintain`" in said
    assert "secret" not in said
    assert is_there(old_run)
    monkeypatch.setenv("PREFECT_API_URL", "")
    assert COMMAND.main(["--policy", POLICY, "--apply"]) == 0
    assert not is_there(old_run)
