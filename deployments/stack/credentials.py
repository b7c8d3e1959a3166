"""Databases and object stores of the servers, tried before anything starts."""

from collections.abc import Callable

from flows.checking import databases
from flows.checking.single_check import TIMEOUT
from onerun.config.addresses import synchronous
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.errors import StoreUnreachable
from settings.profile import PrefectProfile
from settings.servers import Servers


def try_all(profile: PrefectProfile, servers: Servers, report: Callable[[str], None]) -> None:
    """Log in everywhere; make a bucket that is missing in one's own store. Raises: Mistakes."""
    mistakes = []
    if servers.prefect_database is not None:
        address = servers.prefect_database.get_secret_value()
        mistakes += _database(databases.PREFECTS, address)
    if servers.mlflow_database is not None:
        mistakes += _database(databases.MLFLOWS, servers.mlflow_database.get_secret_value())
    variables = profile.variables()
    profile.apply()  # keys and endpoint are read from the environment
    for variable, root in (
        ("MLFLOW_ARTIFACTS_DESTINATION", servers.mlflow_artifacts or ""),
        ("ONERUN_STORE", variables["ONERUN_STORE"]),
    ):
        if root.startswith("s3://"):
            mistakes += _bucket(variable, root, "MLFLOW_S3_ENDPOINT_URL" in variables, report)
    if mistakes:
        raise Mistakes(mistakes)


def _database(variable: str, address: str) -> list[Mistake]:
    from sqlalchemy import create_engine

    try:
        with databases.errors_as_mistakes(variable, address):
            engine = create_engine(synchronous(address))
            with engine.connect():
                pass
            engine.dispose()
    except Mistakes as mistakes:
        return list(mistakes.mistakes)
    return []


def _bucket(variable: str, root: str, ours: bool, report: Callable[[str], None]) -> list[Mistake]:
    """Try a bucket; make a missing one in one's own store, and none at Amazon."""
    from onerun import storage
    from onerun.retry import deadline

    try:
        if ours and storage.ensure_bucket(root):
            report(f"made the bucket of {root}")
        with deadline(TIMEOUT):
            storage.round_trip(root)
    except Mistakes as mistakes:
        return [Mistake(variable, mistake.message) for mistake in mistakes.mistakes]
    except StoreUnreachable as error:
        return [Mistake(variable, f"{error}; is MLFLOW_S3_ENDPOINT_URL right and the store up?")]
    return []
