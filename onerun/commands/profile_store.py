"""The store that a command works on: the profile's, when it answers."""

import os
from pathlib import Path

from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.profile import AnyProfile, Profile, check_profile, load_profile_as

ABOUT_STORES = ("MLFLOW_", "AWS_")
ABOUT_BUCKETS = ("AWS_", "MLFLOW_S3_")


def use_store(
    name: str | None, must_exist: bool = True, about: tuple[str, ...] = ABOUT_STORES
) -> Profile:
    """Apply the library's profile of that name. See `use_store_as`."""
    return use_store_as(Profile, name, must_exist=must_exist, about=about)


def use_store_as(
    kind: type[AnyProfile],
    name: str | None,
    must_exist: bool = True,
    about: tuple[str, ...] = ABOUT_STORES,
) -> AnyProfile:
    """Apply the profile of that name and return it; Prefect need not answer. Raises Mistakes.

    Args:
        must_exist: an SQLite file that is not there is a mistake.
        about: the beginnings of the variables that have to be right.
    """
    chosen = load_profile_as(kind, name)
    mistakes = [mistake for mistake in check_profile(chosen) if mistake.key.startswith(about)]
    uri = chosen.variables()["MLFLOW_TRACKING_URI"]
    file = uri.partition(":///")[2] if uri.startswith("sqlite") else ""
    if must_exist and file and not Path(file).exists():
        mistakes.append(
            Mistake("MLFLOW_TRACKING_URI", f"{file} does not exist: there is no store yet")
        )
    if mistakes:
        raise Mistakes(mistakes)
    chosen.apply()
    os.environ.setdefault(
        "MLFLOW_LOGGING_LEVEL", "WARNING"
    )  # what it says of making its tables is for nobody here
    return chosen


def use_registry(profile: str | None) -> None:
    """Apply the profile when its registry answers; Prefect and the object store need not. Raises Mistakes."""
    chosen = load_profile_as(Profile, profile)
    about = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    mistakes = [mistake for mistake in check_profile(chosen) if mistake.key in about]
    variables = chosen.variables()
    uri = variables.get("MLFLOW_REGISTRY_URI") or variables["MLFLOW_TRACKING_URI"]
    file = uri.partition(":///")[2] if uri.startswith("sqlite") else ""
    if file and not Path(file).exists():
        message = f"{file} does not exist: nothing was registered there yet"
        mistakes.append(Mistake("MLFLOW_TRACKING_URI", message))
    if mistakes:
        raise Mistakes(mistakes)
    chosen.apply()


def use_folder(folder: str, name: str | None) -> Profile:
    """Use a store of files; of the profile, apply what reaching buckets needs.

    Returns: the profile. Raises: Mistakes when `folder` is the address of a database or server.
    """
    if "://" in folder and not folder.startswith("file:"):
        message = f"expected a folder, got {folder}; databases and servers go by --profile"
        raise Mistakes([Mistake("--store", message)])
    chosen = load_profile_as(Profile, name)
    for key, value in chosen.variables().items():
        if key.startswith(ABOUT_BUCKETS):
            os.environ[key] = value
    return chosen
