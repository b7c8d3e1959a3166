"""A profile's YAML: plain values, and references such as `${MINIO_PASSWORD}` to what the environment holds."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from onerun.config import lookup, yaml_lines
from onerun.config.addresses import holds_secret
from onerun.config.mistakes import Mistake, Mistakes, did_you_mean

FOLDER = "settings/profiles"
OF_THE_PREFECT_HALF = "prefect_"  # how keys begin that only settings/profile.py knows
_REFERENCE = re.compile(r"\$\{(\w+)\}")


def read_profile(
    name: str, known: Iterable[str], secrets: Iterable[str], variables: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, int], str]:
    """Read `settings/profiles/<name>.yaml`, or the YAML file of that path.

    Returns: its values with references filled in, the line of each key, the file.
    Raises: Mistakes: no such profile, unknown key, secret in plain text, reference to a variable that is not set.
    """
    path, known = _path(name), frozenset(known)
    values, lines = _parsed(path)
    keys: list[Any] = list(values)  # YAML reads some as numbers
    if odd := [key for key in keys if not isinstance(key, str)]:
        raise Mistakes(
            Mistake(str(key), "unknown key; a key is a word, not a number", str(path))
            for key in odd
        )
    values = {
        key: value
        for key, value in values.items()
        if key in known or not key.startswith(OF_THE_PREFECT_HALF)
    }
    mistakes = [
        Mistake(key, problem, str(path), lines[(key,)])
        for key, value in values.items()
        for problem in _problems(key, value, frozenset(known), frozenset(secrets), variables)
    ]
    if mistakes:
        raise Mistakes(mistakes)
    return (
        {key: _filled(value, variables) for key, value in values.items() if value is not None},
        {key: lines[(key,)] for key in values},
        str(path),
    )


def read_value(name: str, key: str, variables: Mapping[str, str]) -> str | None:
    """Return one value of the profile, whatever is wrong with the others; None when it is not set.

    Raises: Mistakes: no such profile, not YAML, reference to a variable that is not set.
    """
    path = _path(name)
    values, lines = _parsed(path)
    value = values.get(key)
    missing = (
        [each for each in _REFERENCE.findall(value) if each not in variables]
        if isinstance(value, str)
        else []
    )
    if missing:
        raise Mistakes(Mistake(key, _not_set(each), str(path), lines[(key,)]) for each in missing)
    return str(_filled(value, variables)) if value is not None else None


def _parsed(path: Path) -> tuple[dict[str, Any], dict[yaml_lines.Path, int]]:
    try:
        return yaml_lines.parse(path.read_text(encoding="utf-8-sig"), str(path))
    except OSError as error:
        raise Mistakes([Mistake("", f"cannot be read: {error.strerror}", str(path))]) from None
    except UnicodeDecodeError as error:
        raise Mistakes(
            [Mistake("", f"not UTF-8 text (byte {error.start}); save it as UTF-8", str(path))]
        ) from None


def _path(name: str) -> Path:
    """Return the file that `name` stands for. Raises Mistakes."""
    is_a_path = name.endswith(lookup.SUFFIXES) or os.sep in name
    try:
        path = Path(name) if is_a_path else lookup.find(FOLDER, name)
        if path is not None and path.is_file():
            return path
    except (OSError, ValueError):  # too long, or a character that no file's name holds
        raise Mistakes(
            [Mistake("", f"{name[:80]!r} cannot be the name of a file", "--profile")]
        ) from None
    if is_a_path:
        known = [str(each) for each in Path(name).parent.glob("*.y*ml")]
        where, elsewhere = name, ""
    else:
        known = sorted({each.stem for each in lookup.known(FOLDER)})
        where, elsewhere = f"{FOLDER}/{name}.yaml", lookup.missing_from_here(FOLDER, name)
    there_are = f"; there are {', '.join(known)}" if known else ""
    hint = elsewhere or did_you_mean(name, known) or there_are
    raise Mistakes([Mistake(name, f"no such profile ({where}){hint}", "--profile")])


def _problems(
    key: str,
    value: Any,
    known: frozenset[str],
    secrets: frozenset[str],
    variables: Mapping[str, str],
) -> list[str]:
    if key not in known:
        return [f"unknown key{did_you_mean(key, known)}"]
    text = value if isinstance(value, str) else ""
    if key in secrets and value is not None and not _REFERENCE.fullmatch(text):
        return [
            "a secret does not belong in a file; write ${VARIABLE}, and set that in the environment or in .env"
        ]
    if holds_secret(_REFERENCE.sub("", text)):
        return [
            "holds a password; write ${VARIABLE} in its place, and set that in the environment or in .env"
        ]
    missing = [name for name in _REFERENCE.findall(text) if name not in variables]
    return [_not_set(name) for name in missing]


def _not_set(name: str) -> str:
    return f"${{{name}}} is not set, neither in the environment nor in .env"


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    return (
        _REFERENCE.sub(lambda match: variables[match[1]], value)
        if isinstance(value, str)
        else value
    )
