"""Which databases stand behind the servers, where that can be known from here."""

from pathlib import Path

from domain.diagnosis import Finding, note
from settings.profile import Profile
from settings.servers import Servers, is_of_the_stack, mlflow_file, prefect_file, stack_folder

ELSEWHERE = "not looked at: only where its server runs is known which it is; run the doctor there, with {variable} set"


def mlflow(profile: Profile, servers: Servers) -> str | Finding:
    """Returns: the address of the database: the store itself, or that of its server; or that nobody here knows it."""
    uri, stack = profile.variables()["MLFLOW_TRACKING_URI"], _stack(profile)
    if servers.mlflow_database is not None:
        return servers.mlflow_database.get_secret_value()
    if not uri.startswith("http"):
        return uri
    if is_of_the_stack(stack, "mlflow", uri.rstrip("/")):
        return f"sqlite:///{mlflow_file(stack)}"
    return note("MLflow database", ELSEWHERE.format(variable="MLFLOW_BACKEND_STORE_URI"))


def prefect(profile: Profile, servers: Servers) -> str | Finding:
    """Returns: the same of Prefect's server."""
    stack = _stack(profile)
    if servers.prefect_database is not None:
        return servers.prefect_database.get_secret_value()
    if is_of_the_stack(stack, "prefect", str(profile.prefect_api_url).rstrip("/").removesuffix("/api")):
        return f"sqlite+aiosqlite:///{prefect_file(stack)}"
    return note("Prefect database", ELSEWHERE.format(variable="PREFECT_SERVER_DATABASE_CONNECTION_URL"))


def _stack(profile: Profile) -> Path:
    return stack_folder(profile.variables()["ONERUN_WORK"])
