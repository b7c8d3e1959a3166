"""Databases and object stores that the servers are to use, tried before anything starts: wrong credentials are told."""

from collections.abc import Callable

from settings.addresses import redact
from settings.mistakes import Mistake, Mistakes
from settings.profile import Profile
from settings.servers import Servers


def try_all(profile: Profile, servers: Servers, say: Callable[[str], None]) -> None:
    """Logs in everywhere; makes a bucket that is missing in a store of one's own. Raises: Mistakes, all of them."""
    mistakes = []
    if servers.prefect_database is not None:
        address = servers.prefect_database.get_secret_value()
        mistakes += _database("PREFECT_SERVER_DATABASE_CONNECTION_URL", address)
    if servers.mlflow_database is not None:
        mistakes += _database("MLFLOW_BACKEND_STORE_URI", servers.mlflow_database.get_secret_value())
    variables = profile.variables()
    profile.apply()  # keys and endpoint are read from the environment
    for variable, root in (
        ("MLFLOW_ARTIFACTS_DESTINATION", servers.mlflow_artifacts or ""),
        ("ONERUN_STORE", variables["ONERUN_STORE"]),
    ):
        if root.startswith("s3://"):
            mistakes += _bucket(variable, root, "MLFLOW_S3_ENDPOINT_URL" in variables, say)
    if mistakes:
        raise Mistakes(mistakes)


def _database(variable: str, address: str) -> list[Mistake]:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        engine = create_engine(address.replace("+asyncpg", "+psycopg").replace("+aiosqlite", ""))
        with engine.connect():
            pass
        engine.dispose()
    except ModuleNotFoundError as error:
        advice = "pip install 'psycopg[binary]' and begin the address with postgresql+psycopg://"
        return [Mistake(variable, f"{redact(address)} needs the driver {error.name}; {advice}")]
    except ArgumentError:
        return [
            Mistake(variable, "is no database address; expected such as postgresql+psycopg://user:password@host/name")
        ]
    except SQLAlchemyError as error:
        words = str(getattr(error, "orig", error)).strip().splitlines()
        return [Mistake(variable, f"{redact(address)} cannot be used ({words[-1] if words else type(error).__name__})")]
    return []


def _bucket(variable: str, root: str, ours: bool, say: Callable[[str], None]) -> list[Mistake]:
    """Amazon's buckets are made by their owners; in a store of one's own a missing one is made."""
    from tasks import storage

    try:
        if ours and storage.need_bucket(root):
            say(f"made the bucket of {root}")
        storage.round_trip(root)
    except Mistakes as mistakes:
        return [Mistake(variable, mistake.message) for mistake in mistakes.mistakes]
    return []
