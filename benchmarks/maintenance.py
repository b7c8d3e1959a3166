"""What maintenance costs beside MLflow's own client and `mlflow gc`, on the same store in the same minutes.

    python -m benchmarks.maintenance --runs 20000 --plan-runs 200000

Sides are child processes that say what they took: a plan and a listing see the whole store; `delete_run` and
`mlflow gc` are measured on some of its runs, and everything is stated by the run.
"""

import argparse
import gc
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.stores import DAY, fill, is_old, run_id

ROOT = Path(__file__).parents[1]
POLICY = """
keep:
  younger_than: 30d
  deleted_younger_than: 1h
  last: 0
  best: [{metric: metric_0, count: 1, greater_is_better: true}]
max_delete: 100%
action: ACTION
"""
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


def main() -> int:
    """Returns: the exit code: 0, or 1 when a ratio was not kept and --strict was given."""
    asked = _arguments()
    if asked.side:
        print(json.dumps(SIDES[asked.side](asked)))
        return 0
    kept = True
    with _postgres(asked.postgres) as asked.postgres:
        for name, uri in _stores(asked):
            with tempfile.TemporaryDirectory(prefix="onerun-bench-", dir=asked.work) as folder:
                kept &= _compare(name, uri.format(folder=folder), Path(folder), asked)
    return int(asked.strict and not kept)


@contextmanager
def _postgres(url: str | None) -> Iterator[str | None]:
    """Yields: the server that was named, or one for the length of this; None where PostgreSQL is not installed."""
    if url:
        yield url
        return
    import pytest

    from tests import servers

    with ExitStack() as stack:
        try:
            address = stack.enter_context(servers.postgres())
        except pytest.skip.Exception as error:
            print(error, file=sys.stderr)
            yield None
        else:
            yield f"postgresql+psycopg://{servers.POSTGRES_USER}:{servers.POSTGRES_PASSWORD}@{address}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.maintenance", description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=20_000, help="planned and deleted; 0: only the larger store"
    )
    parser.add_argument(
        "--plan-runs",
        type=int,
        default=200_000,
        help="a larger store, of which only the plan is made",
    )
    parser.add_argument("--experiments", type=int, default=50)
    parser.add_argument(
        "--sample", type=int, default=300, help="runs that delete_run and mlflow gc delete"
    )
    parser.add_argument(
        "--postgres",
        metavar="URL",
        help="a PostgreSQL server; without, one is started where it can",
    )
    parser.add_argument("--work", metavar="FOLDER", help="where the stores are made")
    parser.add_argument(
        "--strict", action="store_true", help="exit code 1 when a ratio was not kept"
    )
    parser.add_argument("--side", choices=sorted(SIDES), help=argparse.SUPPRESS)
    return parser.parse_args()


def _stores(asked: argparse.Namespace) -> list[tuple[str, str]]:
    stores = [("SQLite", "sqlite:///{folder}/DATABASE.db")]
    return stores + ([("PostgreSQL", f"{asked.postgres}/DATABASE")] if asked.postgres else [])


def _compare(name: str, template: str, folder: Path, asked: argparse.Namespace) -> bool:
    kept = True
    if asked.runs:
        uri = _filled(template, f"bench{asked.runs}", folder / "artifacts", asked.runs, asked)
        kept &= _plan(f"{name}, {asked.runs:,} runs", uri, asked, folder)
        kept &= _deletion(f"{name}, {asked.runs:,} runs", uri, asked, folder)
    if asked.plan_runs:
        larger = _filled(template, f"bench{asked.plan_runs}", None, asked.plan_runs, asked)
        kept &= _plan(f"{name}, {asked.plan_runs:,} runs", larger, asked, folder)
    return kept


def _filled(
    template: str, database: str, artifacts: Path | None, runs: int, asked: argparse.Namespace
) -> str:
    from sqlalchemy import create_engine, text

    uri = template.replace("DATABASE", database)
    if asked.postgres and uri.startswith("postgresql"):
        admin = create_engine(f"{asked.postgres}/postgres", isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {database}"))
            connection.execute(text(f"CREATE DATABASE {database}"))
        admin.dispose()
    started = time.perf_counter()
    fill(uri, artifacts, runs, asked.experiments, int(time.time() * 1000))
    if uri.startswith("postgresql"):
        _rest(uri)
    print(
        f"made {runs:,} runs in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True
    )
    return uri


def _rest(uri: str) -> None:
    """A server that was filled a moment ago is still writing, and whoever reads first pays for it."""
    from sqlalchemy import create_engine, text

    engine = create_engine(uri, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in ("VACUUM (ANALYZE)", "CHECKPOINT"):
            connection.execute(text(statement))
    engine.dispose()


def _plan(title: str, uri: str, asked: argparse.Namespace, folder: Path) -> bool:
    plan, client = _child("plan", uri, asked, folder), _child("client", uri, asked, folder)
    assert plan["runs"] == client["runs"], (plan, client)
    ratio, cpu = client["seconds"] / plan["seconds"], client["cpu"] / plan["cpu"]
    print(f"{title}: plan {_took(plan)} ({plan['going']:,} would go, {plan['bytes']:,} bytes)")
    decided = client["seconds"] / plan["decided"]
    print(f"  without measuring files {plan['decided']:.2f} s, ratio {decided:.0f}")
    print(f"  peak {_mb(plan['peak'])}, grew {_mb(plan['grew'])}")
    print(
        f"  listing through MlflowClient {_took(client)}; ratio {ratio:.0f}, of CPU {cpu:.0f}",
        flush=True,
    )
    if plan["bytes"]:  # a listing that tells as much as the plan: docs/decisions/0016
        sized = _child("sizes", uri, asked, folder)
        same = client["seconds"] + plan["going"] * sized["seconds"] / sized["runs"]
        print(
            f"  with the bytes of what goes by list_artifacts ({1000 * sized['seconds'] / sized['runs']:.2f} ms a run, "
            f"of {sized['runs']}) {same:.1f} s; ratio {same / plan['seconds']:.0f} (aim 100)",
            flush=True,
        )
        ratio = same / plan["seconds"]
    return bool(ratio >= 100)


def _deletion(title: str, uri: str, asked: argparse.Namespace, folder: Path) -> bool:
    theirs = _child("mlflow", uri, asked, folder)
    ours = _child("delete", uri, asked, folder)
    mine, other = 1000 * ours["seconds"] / ours["runs"], 1000 * theirs["seconds"] / theirs["runs"]
    print(
        f"{title}: soft and hard delete {mine:.2f} ms a run ({ours['runs']:,} runs, {_took(ours)})"
    )
    print(f"  peak {_mb(ours['peak'])}, grew {_mb(ours['grew'])}")
    cpu = theirs["cpu"] / theirs["runs"] / (ours["cpu"] / ours["runs"])
    print(
        f"  delete_run and mlflow gc {other:.2f} ms a run ({theirs['runs']} runs, {_took(theirs)})"
    )
    print(f"  ratio {other / mine:.0f} (aim 20), of CPU {cpu:.0f}", flush=True)
    return bool(other / mine >= 20)


def _took(side: Mapping[str, float]) -> str:
    """The CPU is this process's: what a PostgreSQL server does for it is in the seconds alone."""
    return f"{side['seconds']:.2f} s, {side['cpu']:.2f} s of CPU"


def _child(side: str, uri: str, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.maintenance",
        "--side",
        side,
        "--runs",
        str(asked.runs),
    ]
    command += [
        "--experiments",
        str(asked.experiments),
        "--sample",
        str(asked.sample),
        "--work",
        str(folder),
    ]
    environment: Mapping[str, str] = {**os.environ, **QUIET, "MLFLOW_TRACKING_URI": uri}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _client(asked: argparse.Namespace) -> dict[str, Any]:
    """What a person would write: all runs of all experiments, a page of 1,000 at a time."""
    from onerun.tracking.runs import client

    mlflow = client()
    mlflow.search_experiments(max_results=1)
    _settled()
    started, begun = time.perf_counter(), _cpu()
    count, token = 0, None
    ids = [experiment.experiment_id for experiment in mlflow.search_experiments(max_results=1000)]
    while True:
        page = mlflow.search_runs(ids, max_results=1000, page_token=token)
        count += len(page)
        token = page.token
        if not token:
            return {"seconds": time.perf_counter() - started, "cpu": _cpu() - begun, "runs": count}


def _sized(asked: argparse.Namespace) -> dict[str, Any]:
    """What a plan says beside: how many bytes a run has; through the client, on the first runs that go."""
    from onerun.tracking.runs import client

    mlflow, ids = client(), _first_to_go(asked)
    mlflow.search_experiments(max_results=1)
    _settled()
    started, total = time.perf_counter(), 0
    for run in ids:
        folders: list[str | None] = [None]
        while folders:
            for found in mlflow.list_artifacts(run, folders.pop()):
                total += found.file_size or 0
                folders += [found.path] * found.is_dir
    return {"seconds": time.perf_counter() - started, "runs": len(ids), "bytes": total}


def _first_to_go(asked: argparse.Namespace) -> list[str]:
    return [run_id(number) for number in range(asked.runs) if is_old(number, asked.experiments)][
        : asked.sample
    ]


def _planned(asked: argparse.Namespace) -> dict[str, Any]:
    from onerun.cleanup import planner
    from onerun.store import artifact_paths, protocol

    policy = _policy("soft_delete")
    store = protocol.open_store()
    with store.inventory(policy, ()):
        pass  # the same first question that the client was asked: libraries load and classes are mapped
    before = _settled()
    started, begun = time.perf_counter(), _cpu()
    plan, spool = planner.plan_store(store, policy, ())
    seconds, cpu = time.perf_counter() - started, _cpu() - begun
    spool.close()
    artifact_paths.sizes = lambda location, folders: dict.fromkeys(folders, 0)
    started = time.perf_counter()
    planner.plan_store(store, policy, ())[1].close()
    decided = time.perf_counter() - started
    return {
        "seconds": seconds, "cpu": cpu, "decided": decided, "runs": plan.runs, "going": plan.to_delete, "bytes": plan.bytes,
        "peak": _peak(), "grew": _peak() - before,
    }  # fmt: skip


def _deleted(asked: argparse.Namespace) -> dict[str, Any]:
    """Both halves of a clean-up. The archive is a matter of its own: MLflow has none to compare it with."""
    from onerun import archive as archives
    from onerun.cleanup import execution
    from onerun.cleanup.planner import milliseconds, plan_store
    from onerun.domain.archives import Archive
    from onerun.store import protocol

    archives.back_up = lambda *_: Archive(str(Path(asked.work) / "archive"), "", 0, {})
    store = protocol.open_store()
    before, started, begun, done = _settled(), time.perf_counter(), _cpu(), 0
    for action, now in (("soft_delete", milliseconds()), ("hard_delete", milliseconds() + DAY)):
        policy = _policy(action, asked.work)
        with store.exclusive_lock():
            plan, spool = plan_store(store, policy, (), now)
            with spool:
                done = execution.apply(store, policy, plan, spool).done
    seconds, cpu = time.perf_counter() - started, _cpu() - begun
    return {"seconds": seconds, "cpu": cpu, "runs": done, "peak": _peak(), "grew": _peak() - before}


def _theirs(asked: argparse.Namespace) -> dict[str, Any]:
    """`delete_run` for each, then one `mlflow gc`, on the first runs that go."""
    from onerun.tracking.runs import client

    mlflow = client()
    mlflow.search_experiments(max_results=1)
    ids = _first_to_go(asked)
    uri = os.environ["MLFLOW_TRACKING_URI"]
    begun = _gc(uri, "f" * 32, check=False)  # what starting it costs, which is no matter of runs
    started = time.perf_counter(), _cpu()
    for each in ids:
        mlflow.delete_run(each)
    deleted = time.perf_counter() - started[0], _cpu() - started[1]
    gone = _gc(uri, ",".join(ids), check=True)
    # what starting `mlflow gc` takes varies on a busy machine: never more is taken off than the call itself took
    seconds, cpu = (deleted[each] + max(0.0, gone[each] - begun[each]) for each in (0, 1))
    return {"seconds": seconds, "cpu": cpu, "runs": len(ids)}


def _gc(uri: str, ids: str, check: bool) -> tuple[float, float]:
    """Returns: seconds, and seconds of CPU."""
    mlflow = shutil.which("mlflow", path=str(Path(sys.executable).parent))
    started, begun = time.perf_counter(), _cpu(resource.RUSAGE_CHILDREN)
    command = [str(mlflow), "gc", "--backend-store-uri", uri, "--run-ids", ids]
    subprocess.run(command, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started, _cpu(resource.RUSAGE_CHILDREN) - begun


def _cpu(who: int = resource.RUSAGE_SELF) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def _policy(action: str, backups: str = "backups") -> Any:
    from onerun.config.loading import load_policy

    return load_policy(POLICY.replace("ACTION", action), [f"backups.to={backups}"])


def _mb(count: float) -> str:
    return f"{count / 1e6:.0f} MB"


def _settled() -> int:
    """No side pays within its time for looking through what libraries made. Returns: peak memory so far."""
    gc.collect()
    gc.freeze()
    return _peak()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


SIDES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "client": _client,
    "plan": _planned,
    "sizes": _sized,
    "delete": _deleted,
    "mlflow": _theirs,
}

if __name__ == "__main__":
    sys.exit(main())
