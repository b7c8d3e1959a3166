"""The servers that the local stack starts: where they listen and where they keep their data.

Which addresses they have stands in the profile, for clients and servers must agree on them. The
variables are the servers' own, from the environment, else from `.env` in the working folder.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from onerun.config.addresses import need_whole_password
from onerun.config.mistakes import Mistake, Mistakes


def _of(variable: str, *others: str, default: Any = None, description: str) -> Any:
    """Return a field that the environment calls `variable` (or one of `others`)."""
    return Field(default, validation_alias=AliasChoices(variable, *others), description=description)


class Servers(BaseSettings):
    """How the servers of the local stack are started."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, env_file=".env", env_ignore_empty=True,
        hide_input_in_errors=True,
    )  # fmt: skip

    bind: str = _of(
        "ONERUN_BIND",
        default="127.0.0.1",
        description="Address the servers listen on; loopback when omitted.",
    )
    worker_limit: int = Field(
        2,
        validation_alias="ONERUN_WORKER_LIMIT",
        ge=1,
        le=1000,
        description="Flow runs at once in one worker.",
    )
    prefect_database: SecretStr | None = _of(
        "PREFECT_SERVER_DATABASE_CONNECTION_URL",
        "PREFECT_API_DATABASE_CONNECTION_URL",
        description=(
            "postgresql+asyncpg://user:password@host/database of the Prefect server; "
            "an SQLite file when omitted."
        ),
    )
    prefect_auth: SecretStr | None = _of(
        "PREFECT_SERVER_API_AUTH_STRING",
        description="The same as PREFECT_API_AUTH_STRING, or nothing: the server gets that.",
    )
    mlflow_database: SecretStr | None = _of(
        "MLFLOW_BACKEND_STORE_URI",
        description=(
            "postgresql+psycopg://user:password@host/database of the MLflow server; "
            "an SQLite file when omitted."
        ),
    )
    mlflow_artifacts: str | None = _of(
        "MLFLOW_ARTIFACTS_DESTINATION",
        description="s3://bucket/prefix of what the MLflow server keeps; a folder when omitted.",
    )
    mlflow_secret: SecretStr | None = _of(
        "MLFLOW_FLASK_SERVER_SECRET_KEY",
        description="Signs the MLflow server's forms, where it asks for a password.",
    )

    @field_validator("prefect_database")
    @classmethod
    def _is_asynchronous(cls, address: SecretStr | None) -> SecretStr | None:
        """Refuse a synchronous driver here: Prefect's own message about it is a traceback."""
        kinds = ("postgresql+asyncpg://", "sqlite+aiosqlite:///")
        if address is not None and not address.get_secret_value().startswith(kinds):
            raise ValueError(f"expected an address that begins with {' or '.join(kinds)}")
        return address

    @field_validator("prefect_database", "mlflow_database")
    @classmethod
    def _has_a_host(cls, address: SecretStr | None) -> SecretStr | None:
        if address is not None:
            need_whole_password(address.get_secret_value())
        return address


def load_servers() -> Servers:
    """Return the environment's settings of the servers. Raises: Mistakes, without values (P7)."""
    try:
        return Servers()
    except ValidationError as error:
        raise Mistakes(
            Mistake(
                str(entry["loc"][0]),
                entry["msg"].removeprefix("Value error, ").replace("Input should", "should"),
            )
            for entry in error.errors()
        ) from None


def stack_folder(work: str | Path) -> Path:
    """Return the folder below the work folder where the stack keeps data, logs and records."""
    return Path(work) / "stack"


def mlflow_file(stack: Path) -> Path:
    """Return the MLflow server's database, where no other was named."""
    return stack / "mlflow.db"


def prefect_file(stack: Path) -> Path:
    """Return the Prefect server's database, where no other was named."""
    return stack / "prefect" / "prefect.db"


def is_of_the_stack(stack: Path, name: str, address: str) -> bool:
    """Return whether the stack of this folder started that server last, at that address."""
    try:
        return bool(json.loads((stack / f"{name}.json").read_text())["address"] == address)
    except (OSError, ValueError, KeyError):  # none was started here
        return False
