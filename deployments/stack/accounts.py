"""Accounts of the MLflow server: basic authentication, with the profile's administrator."""

from importlib.util import find_spec
from pathlib import Path

from onerun.config.mistakes import Mistake, Mistakes
from settings.profile import PrefectProfile
from settings.servers import Servers

CONFIGURATION = """\
[mlflow]
default_permission = READ
database_uri = sqlite:///{database}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


def accounts(profile: PrefectProfile, servers: Servers, state: Path) -> dict[str, str]:
    """Return the server's variables. Raises: Mistakes when one is missing.

    MLflow makes the administrator at its first start and reads the password never again.
    """
    mistakes = _mistakes(profile, servers)
    if mistakes or servers.mlflow_secret is None or profile.tracking_password is None:
        raise Mistakes(mistakes)
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(configuration_file(state)),
        "MLFLOW_AUTH_ADMIN_USERNAME": str(profile.tracking_username),
        "MLFLOW_AUTH_ADMIN_PASSWORD": profile.tracking_password.get_secret_value(),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": servers.mlflow_secret.get_secret_value(),
    }


def configuration_file(state: Path) -> Path:
    """Return the file in which the server finds how to authenticate."""
    return state / "mlflow-accounts.ini"


def configuration(state: Path) -> str:
    """Return what stands there; no secret."""
    # a percent sign is special in such a file
    database = str(state / "mlflow-accounts.db").replace("%", "%%")
    return CONFIGURATION.format(database=database)


def _mistakes(profile: PrefectProfile, servers: Servers) -> list[Mistake]:
    found = []
    if not (profile.tracking_username and profile.tracking_password):
        message = (
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD go together: set both, or "
            "neither"
        )
        found.append(Mistake("MLFLOW_TRACKING_PASSWORD", message))
    if servers.mlflow_secret is None:
        message = (
            "is missing; any long random text, such as "
            "`python -c 'import secrets; print(secrets.token_hex())'`"
        )
        found.append(Mistake("MLFLOW_FLASK_SERVER_SECRET_KEY", message))
    if find_spec("flask_wtf") is None:
        message = (
            "an MLflow server that asks for a password needs Flask-WTF: pip install 'mlflow[auth]'"
        )
        found.append(Mistake("MLFLOW_TRACKING_USERNAME", message))
    return found
