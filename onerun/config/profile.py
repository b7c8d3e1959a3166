"""Where it runs: addresses, folders and credentials. What is trained stands in the recipe.

From the process environment, else `.env` in the working folder, else the profile's YAML, else the defaults.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from onerun.config import budget, env_file
from onerun.config.addresses import (
    FolderOrBucket,
    StoreUri,
    WebAddress,
    redact,
    with_driver,
)
from onerun.config.mistakes import Mistake, Mistakes, did_you_mean
from onerun.config.profile_file import read_profile
from onerun.config.reachability import check_profile as check_profile

TELEMETRY_OFF = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",  # MLflow reads `true`, not `1`
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "GX_ANALYTICS_ENABLED": "false",
}
# What Amazon's clients send with each object over TLS since boto3 1.36 is an error to stores that do not know it yet.
OF_OTHER_STORES = {
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}


# Variables that the servers of the Prefect half read (settings/servers.py); in `.env` they are no mistake.
OF_THE_SERVERS = ("ONERUN_BIND", "ONERUN_WORKER_LIMIT", "ONERUN_HOME")

Folder = Annotated[str, Field(min_length=1, max_length=4000)]


def setting_of(variable: str, *others: str, default: Any = None, says: str) -> Any:
    """A field that the environment calls `variable` (or one of `others`)."""
    return Field(default, validation_alias=AliasChoices(variable, *others), description=says)


class Profile(BaseSettings):
    """Where trainings are tracked and keep their data: what the library needs, without Prefect."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, case_sensitive=True,
        env_file=".env", env_ignore_empty=True, hide_input_in_errors=True,
    )  # fmt: skip

    tracking_uri: StoreUri = setting_of(
        "MLFLOW_TRACKING_URI",
        default="sqlite:///mlflow.db",
        says="MLflow's store or server; `mlflow ui` in the same folder shows the default.",
    )
    registry_uri: StoreUri | None = setting_of(
        "MLFLOW_REGISTRY_URI", says="MLflow's model registry, when it is elsewhere."
    )
    tracking_username: str | None = setting_of(
        "MLFLOW_TRACKING_USERNAME", says="User of the MLflow server."
    )
    tracking_password: SecretStr | None = setting_of(
        "MLFLOW_TRACKING_PASSWORD", says="Password of the MLflow server."
    )
    tracking_token: SecretStr | None = setting_of(
        "MLFLOW_TRACKING_TOKEN", says="Bearer token of the MLflow server."
    )
    s3_endpoint_url: WebAddress | None = setting_of(
        "MLFLOW_S3_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL",
        says="Object store such as MinIO.",
    )
    aws_access_key_id: SecretStr | None = setting_of(
        "AWS_ACCESS_KEY_ID", says="Access key of the object store."
    )
    aws_secret_access_key: SecretStr | None = setting_of(
        "AWS_SECRET_ACCESS_KEY", says="Secret key of the object store."
    )
    aws_session_token: SecretStr | None = setting_of(
        "AWS_SESSION_TOKEN", says="Session token of the object store."
    )
    region: str | None = setting_of(
        "AWS_DEFAULT_REGION", "AWS_REGION", says="Region of the object store."
    )
    work: Folder = setting_of("ONERUN_WORK", default=env_file.WORK, says="Local scratch folder.")
    store: FolderOrBucket | None = setting_of(
        "ONERUN_STORE",
        says="Folder or s3://bucket/prefix of the snapshots; the work folder when omitted.",
    )
    policy: Folder | None = setting_of(
        "ONERUN_POLICY",
        says="Policy of the maintenance, which says what a training does with a deleted experiment.",
    )
    retry_budget: budget.RetryBudget = setting_of(
        budget.VARIABLE,
        default=budget.DEFAULT,
        says="How long a training waits for a server or store that went silent, such as 90s or 10m.",
    )

    @field_validator("*")
    @classmethod
    def _can_be_a_variable(cls, value: Any) -> Any:
        if "\0" in str(_plain(value)):
            raise ValueError(
                "holds a NUL character, which neither a variable nor a file name can hold"
            )
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """First wins; the YAML's values arrive as arguments, so they come last."""
        return env_settings, dotenv_settings, init_settings

    def variables(self) -> dict[str, str]:
        """Return the standard variables that make MLflow, S3 clients and Prefect see this profile; paths absolute."""
        values = {name: _plain(getattr(self, name)) for name in type(self).model_fields}
        values["tracking_uri"] = _absolute_store(self.tracking_uri)
        values["registry_uri"] = _absolute_store(self.registry_uri) if self.registry_uri else None
        values["work"] = str(Path(self.work).expanduser().resolve())
        values["store"] = _absolute(self.store) if self.store else values["work"]
        return {
            variable: value
            for name, value in values.items()
            if value is not None
            for variable in variables_of(type(self), name)
        } | TELEMETRY_OFF

    def apply(self) -> None:
        """Set them in this process, for what runs in it and below it; how libraries behave, only where nobody said."""
        os.environ.update(self.variables())
        unless_said = budget.of_our_processes(self.retry_budget) | (
            OF_OTHER_STORES if self.s3_endpoint_url else {}
        )
        for variable, value in unless_said.items():
            os.environ.setdefault(variable, value)

    def public(self) -> dict[str, str]:
        """Return what may be written down: no secrets, none inside addresses either."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: redact(value) for name, value in values.items() if isinstance(value, str)}

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """What a traceback or a log shows of it."""
        return list(self.public().items())


def _plain(value: Any) -> str | None:
    if isinstance(value, float):
        return f"{value:g}s"  # the one number is a duration
    return value.get_secret_value() if isinstance(value, SecretStr) else value


AnyProfile = TypeVar("AnyProfile", bound=Profile)


def variables_of(kind: type[Profile], name: str) -> list[str]:
    """Return the variables of a field, the standard one first. AWS_ENDPOINT_URL would redirect other AWS services too."""
    alias = kind.model_fields[name].validation_alias
    names = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []
    return [variable for variable in names if variable != "AWS_ENDPOINT_URL"]


def _absolute(folder: str) -> str:
    return folder if "://" in folder else str(Path(folder).expanduser().resolve())


def _absolute_store(uri: str) -> str:
    """Return the address with a relative SQLite file made absolute: children run in other folders as well."""
    match = re.fullmatch(r"(sqlite(?:\+\w+)?:///)([^/?:][^?]*)(\?.*)?", uri)
    if match is None:
        return with_driver(uri)
    return f"{match[1]}{Path(match[2]).resolve()}{match[3] or ''}"


def load_profile(name: str | None = None) -> Profile:
    """Read the profile called `name`, or else ONERUN_PROFILE, or else the environment alone. Raises Mistakes."""
    return load_profile_as(Profile, name)


def load_profile_as(kind: type[AnyProfile], name: str | None = None) -> AnyProfile:
    """Read a profile as one of its kinds; keys that only another kind has are left out. Raises Mistakes."""
    need_known_variables(kind)
    name, environment = env_file.profile_name(name), env_file.variables()
    fields = kind.model_fields
    secrets = [key for key, field in fields.items() if field.annotation == (SecretStr | None)]
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    file = ""
    if name:
        values, lines, file = read_profile(name, fields, secrets, environment)
    try:
        return kind(**values)
    except ValidationError as error:
        raise Mistakes(
            [_translated(kind, dict(entry), environment, lines, file) for entry in error.errors()]
        ) from None


def need_known_variables(kind: type[Profile]) -> None:
    """Raise Mistakes for a name of ours in `.env` that does not exist."""
    from dotenv import dotenv_values

    known = {variable for name in kind.model_fields for variable in variables_of(kind, name)}
    known |= {"ONERUN_PROFILE", *OF_THE_SERVERS}
    unknown = [key for key, value in dotenv_values(".env").items() if value and key not in known]
    if ours := [key for key in unknown if key.startswith("ONERUN_")]:
        raise Mistakes(
            Mistake(key, f"unknown variable{did_you_mean(key, known)}", ".env") for key in ours
        )


def _translated(
    kind: type[Profile],
    entry: dict[str, Any],
    environment: dict[str, str],
    lines: dict[str, int],
    file: str,
) -> Mistake:
    """Return one line for one of pydantic's errors: where the value came from, what was expected. Never the value (P7)."""
    place = str(entry["loc"][0])
    name = place if place in kind.model_fields else _field_of(kind, place)
    variable = next((each for each in variables_of(kind, name) if each in environment), None)
    message = entry["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if variable:
        return Mistake(variable, message, "environment" if variable in os.environ else ".env")
    return Mistake(name, message, file, lines.get(name))


def _field_of(kind: type[Profile], variable: str) -> str:
    return next(
        name
        for name in kind.model_fields
        if variable in [*variables_of(kind, name), "AWS_ENDPOINT_URL"]
    )
