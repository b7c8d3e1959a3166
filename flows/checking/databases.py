"""Which databases the servers use, where that is known here, and why one cannot be used."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onerun.config.addresses import redact, redacted
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.diagnosis import Diagnosis, note
from settings.profile import PrefectProfile
from settings.servers import Servers, is_of_the_stack, mlflow_file, prefect_file, stack_folder

ELSEWHERE = (
    "not looked at: only where its server runs is known which it is; run the doctor there, "
    "with {variable} set"
)

# the servers' variables
PREFECTS = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
MLFLOWS = "MLFLOW_BACKEND_STORE_URI"


@contextmanager
def errors_as_mistakes(variable: str, address: str) -> Iterator[None]:
    """Raise Mistakes, in one sentence, for what SQLAlchemy and a driver raise in the block."""
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    shown = redact(address)
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"{shown} needs the driver {error.name}; " + _how_to_get_it(address)
    except ArgumentError:
        message = (
            "is not a database address; expected one such as "
            "postgresql+psycopg://user:password@host/name"
        )
    except SQLAlchemyError as error:
        lines = str(getattr(error, "orig", error)).strip().splitlines() or [type(error).__name__]
        message = (
            f"{shown} cannot be used ({redacted(lines[-1])}); is it up, are host, user, password "
            "and name right?"
        )
    else:
        return
    raise Mistakes([Mistake(variable, message)])


def _how_to_get_it(address: str) -> str:
    scheme = address.partition("://")[0]
    if not scheme.startswith("postgresql"):
        return "install it"
    install = "pip install 'psycopg[binary]'"
    if "+" in scheme:  # as in the address of Prefect's database always
        return install
    return f"{install} and begin the address with postgresql+psycopg://"


def mlflow(profile: PrefectProfile, servers: Servers) -> str | Diagnosis:
    """Return the address of MLflow's database, the store itself or its server's.

    Return a note where it cannot be known here.
    """
    uri, stack = profile.variables()["MLFLOW_TRACKING_URI"], _stack(profile)
    if servers.mlflow_database is not None:
        return servers.mlflow_database.get_secret_value()
    if not uri.startswith("http"):
        return uri
    if is_of_the_stack(stack, "mlflow", uri.rstrip("/")):
        return f"sqlite:///{mlflow_file(stack)}"
    return note("MLflow database", ELSEWHERE.format(variable=MLFLOWS))


def prefect(profile: PrefectProfile, servers: Servers) -> str | Diagnosis:
    """Return the address of the database of Prefect's server, or a note where it is not known."""
    stack = _stack(profile)
    if servers.prefect_database is not None:
        return servers.prefect_database.get_secret_value()
    if is_of_the_stack(
        stack, "prefect", str(profile.prefect_api_url).rstrip("/").removesuffix("/api")
    ):
        return f"sqlite+aiosqlite:///{prefect_file(stack)}"
    return note("Prefect database", ELSEWHERE.format(variable=PREFECTS))


def _stack(profile: PrefectProfile) -> Path:
    return stack_folder(profile.variables()["ONERUN_WORK"])
