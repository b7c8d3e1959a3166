"""The checks in order: what is missing, does not answer, is too old, or cannot be written."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from flows.checking import databases
from flows.checking.single_check import clock, tried
from flows.command_line.prefect_address import with_prefect
from onerun.config.addresses import redact
from onerun.config.mistakes import Mistakes
from onerun.config.profile import check_profile
from onerun.config.reachability import nearest
from onerun.domain import diagnosis
from onerun.domain.diagnosis import Diagnosis, good, note, wrong
from settings.profile import PrefectProfile, load_profile
from settings.servers import load_servers


def findings(profile_name: str | None, pool: str | None) -> Iterator[Diagnosis]:
    """Yield one finding for each thing looked at; what is written as a trial is removed."""
    try:
        profile, servers = with_prefect(load_profile(profile_name)), load_servers()
    except Mistakes as mistakes:
        yield from (wrong(mistake.key or "profile", str(mistake)) for mistake in mistakes.mistakes)
        return
    yield from _credentials(profile)
    refused = check_profile(profile)
    yield from (wrong(mistake.key, mistake.message) for mistake in refused)
    broken = {mistake.key for mistake in refused}
    profile.apply()
    if not broken & {"MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"}:
        yield from _mlflow(profile, databases.mlflow(profile, servers))
    if "PREFECT_API_URL" not in broken:
        yield from _prefect(profile, pool, databases.prefect(profile, servers))
    if not broken & {"ONERUN_STORE", "MLFLOW_S3_ENDPOINT_URL"}:
        yield from tried("store", lambda: _store(profile))
        yield from _object_store(profile)
    if "ONERUN_WORK" not in broken:
        yield _space("work folder", profile.variables()["ONERUN_WORK"])


def _credentials(profile: PrefectProfile) -> Iterator[Diagnosis]:
    """Yield a finding for each credential that the addresses need and the profile lacks."""
    variables = profile.variables()
    addresses = (variables["ONERUN_STORE"], variables.get("MLFLOW_S3_ENDPOINT_URL", ""))
    if addresses[0].startswith("s3://") or addresses[1]:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            if name not in variables:
                yield note(name, "is not set; S3 then goes by the machine's own role, or by ~/.aws")
    if bool(profile.tracking_username) != bool(profile.tracking_password):
        yield wrong(
            "MLFLOW_TRACKING_PASSWORD", "goes with MLFLOW_TRACKING_USERNAME: set both, or neither"
        )


def _mlflow(profile: PrefectProfile, database: str | Diagnosis) -> Iterator[Diagnosis]:
    from onerun.tracking import health

    uri = profile.variables()["MLFLOW_TRACKING_URI"]
    if uri.startswith("http"):
        ours = health.installed_version()
        yield from tried(
            "MLflow server",
            lambda: diagnosis.versions("MLflow server", ours, health.server_version(uri)),
        )
        yield from tried("MLflow clock", lambda: clock("MLflow clock", f"{uri.rstrip('/')}/health"))
    if isinstance(database, Diagnosis):
        yield database
    elif not _is_new_file(database):
        yield from tried("MLflow database", lambda: _schema(uri, database))
    if uri.startswith("sqlite") and _is_new_file(uri):
        yield note("MLflow database", f"{uri} does not exist yet; the first training makes it")
        return
    yield from tried("MLflow artifacts", _artifacts)


def _artifacts() -> Diagnosis:
    from onerun.tracking import health

    return good("MLflow artifacts", f"one written, read, deleted in {health.artifact_round_trip()}")


def _schema(uri: str, database: str) -> Diagnosis:
    from onerun.tracking import health

    shown = redact(database)
    variable = "MLFLOW_TRACKING_URI" if database == uri else databases.MLFLOWS
    with databases.errors_as_mistakes(variable, database):
        return diagnosis.schema(
            f"MLflow database {shown}",
            *health.schema(database),
            upgrade=f"mlflow db upgrade {shown}",
        )


def _is_new_file(uri: str) -> bool:
    file = Path(uri.partition(":///")[2].partition("?")[0])
    return uri.startswith("sqlite") and not file.exists()


def _prefect(
    profile: PrefectProfile, pool: str | None, database: str | Diagnosis
) -> Iterator[Diagnosis]:
    if profile.prefect_api_url is None:
        yield note(
            "PREFECT_API_URL",
            "is not set: each command starts a server of its own; nothing is scheduled",
        )
        return
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.checking import deployment_checks, prefect_checks

    with (
        temporary_settings({PREFECT_API_URL: profile.prefect_api_url}),
        get_client(sync_client=True) as client,
    ):
        yield from tried("Prefect server", lambda: prefect_checks.version(client))
        yield from tried("deployments", lambda: deployment_checks.runnable(client, pool))
        yield from tried("schedules", lambda: prefect_checks.schedules(client))
        yield from tried("flow runs", lambda: prefect_checks.starts(client, pool))
    yield from tried(
        "Prefect clock", lambda: clock("Prefect clock", f"{profile.prefect_api_url}/health")
    )
    if isinstance(database, Diagnosis):
        yield database
    else:
        yield from tried("Prefect database", lambda: prefect_checks.database(database))
    yield from _home()


def _home() -> Iterator[Diagnosis]:
    """Yield what is wrong with the checkout in which this machine's workers import flows.

    Where it is not set they use the folder from which deployments were written.
    """
    home = os.environ.get("ONERUN_HOME")
    if home and not (Path(home) / "flows" / "train.py").is_file():
        yield wrong(
            "ONERUN_HOME",
            f"{home} is not a checkout (no flows/train.py there): flow runs end before they begin",
        )


def _store(profile: PrefectProfile) -> list[Diagnosis]:
    from onerun import storage

    store = profile.variables()["ONERUN_STORE"]
    storage.round_trip(store)
    found = [good("store", f"one object written, read and deleted in {store}")]
    return found if "://" in store else [*found, _space("store", store)]


def _object_store(profile: PrefectProfile) -> Iterator[Diagnosis]:
    """Yield its clock's skew: it refuses requests that were signed a quarter of an hour ago."""
    from onerun import storage

    variables = profile.variables()
    if variables["ONERUN_STORE"].startswith("s3://") or "MLFLOW_S3_ENDPOINT_URL" in variables:
        region = f".{variables['AWS_DEFAULT_REGION']}" if "AWS_DEFAULT_REGION" in variables else ""
        url = storage.endpoint() or f"https://s3{region}.amazonaws.com"
        yield from tried("S3 clock", lambda: clock("S3 clock", url))


def _space(what: str, folder: str) -> Diagnosis:
    return diagnosis.space(f"{what} {folder}", shutil.disk_usage(nearest(folder)).free)
