"""The options of a command: one pydantic model gives the command line, the Prefect form and the checks.

A field's description is its help; its default and bounds hold everywhere. How a field looks on the command line, where that
does not follow from its name and type, is said by `Argument` in the annotation:

    overrides: Annotated[list[str], Argument("--set", metavar="KEY=VALUE")] = Field([], description="...")
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from onerun.config.mistakes import Mistake, Mistakes, did_you_mean

PLAIN_MESSAGES = {
    "missing": "is missing",
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "float_parsing": "expected a number",
    "bool_parsing": "expected true or false",
}


@dataclass(frozen=True)
class Argument:
    """How a field looks on the command line.

    flag: the option's name, where it is not `--field-name`; empty for a positional argument. Where the default is
        True, the flag switches it off, such as `--no-files`.
    metavar: what stands for the value in the help.
    """

    flag: str | None = None
    metavar: str | None = None


Positional = Argument(flag="")


class Options(BaseModel):
    """What one command can be asked. Unknown names are refused; nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def from_arguments(cls, values: Mapping[str, Any]) -> Self:
        """Return the checked options. Raises Mistakes that name the options as a person writes them."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise Mistakes(_mistake(cls, dict(entry)) for entry in error.errors()) from None


class OutputOptions(Options):
    """How a command prints its result; every command takes these."""

    as_json: Annotated[bool, Argument("--json")] = Field(
        False, description="one JSON object on stdout, everything else on stderr"
    )
    traceback: bool = Field(False, description="show the whole traceback of a failure")


class CommonOptions(OutputOptions):
    """What every command takes that works with a profile."""

    profile: Annotated[str | None, Argument(metavar="NAME")] = Field(
        None, description="where it runs: a profile in settings/profiles/, or a file"
    )


AnyOptions = TypeVar("AnyOptions", bound=Options)


def add_arguments(parser: argparse.ArgumentParser, options: type[Options]) -> None:
    """Add an argument for every field of `options`; what is not given stays away from the result."""
    for name, field in fields_of(options).items():
        argument = argument_of(field)
        flag = flag_of(name, field)
        given: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS, "help": help_of(field)}
        if flag and _kind(field) is bool:
            action = "store_false" if field.default is True else "store_true"
            parser.add_argument(flag, action=action, **given)
            continue
        metavar = argument.metavar or name.upper().replace("_", "-")
        if _is_list(field):
            parser.add_argument(flag, action="append", metavar=metavar, **given)
        elif flag:
            parser.add_argument(flag, metavar=metavar, **given)
        else:
            del given["dest"]
            parser.add_argument(name, nargs="?", metavar=metavar, **given)


def fields_of(options: type[Options]) -> dict[str, FieldInfo]:
    """Return the fields by name: the command's own first, then those that all commands have."""
    common = CommonOptions.model_fields
    own = {name: field for name, field in options.model_fields.items() if name not in common}
    shared = {name: field for name, field in options.model_fields.items() if name in common}
    return own | shared


def argument_of(field: FieldInfo) -> Argument:
    """Return how the field looks on the command line."""
    return next((each for each in field.metadata if isinstance(each, Argument)), Argument())


def flag_of(name: str, field: FieldInfo) -> str:
    """Return the option's name, such as `--set`; empty for a positional argument."""
    flag = argument_of(field).flag
    return f"--{name.replace('_', '-')}" if flag is None else flag


def help_of(field: FieldInfo) -> str:
    """Return the description, with the default where a person cannot guess it."""
    text = (field.description or "").replace("%", "%%")
    default = field.default
    if isinstance(default, (str, int)) and not isinstance(default, bool) and default != "":
        return f"{text} ({default})"
    return text


def _kind(field: FieldInfo) -> Any:
    """Return the type of a value, without None and annotations."""
    kind = field.annotation
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    others = [each for each in get_args(kind) if each is not NoneType]
    is_optional = len(others) < len(get_args(kind))
    return others[0] if is_optional and len(others) == 1 else kind


def _is_list(field: FieldInfo) -> bool:
    return get_origin(_kind(field)) in (list, tuple)


def _mistake(options: type[Options], entry: Mapping[str, Any]) -> Mistake:
    """Return one line for one of pydantic's errors."""
    name = str(entry["loc"][0]) if entry["loc"] else ""
    if entry["type"] == "extra_forbidden":
        return Mistake(name, f"unknown option{did_you_mean(name, options.model_fields)}")
    message = PLAIN_MESSAGES.get(entry["type"]) or str(entry["msg"]).removeprefix("Value error, ")
    message = message.replace("Input should", "should")
    shown = "" if entry["type"] in ("missing", "value_error") else f", got {entry['input']!r}"
    if not name:
        return Mistake("", message)
    field = options.model_fields[name]
    return Mistake(flag_of(name, field) or name.upper(), f"{message}{shown}")


def given_in(parsed: argparse.Namespace, options: type[Options]) -> dict[str, Any]:
    """Return the values of `options` that were given on the command line."""
    held = vars(parsed)
    return {name: held[name] for name in options.model_fields if held.get(name) is not None}


def required(options: type[Options]) -> Sequence[str]:
    """Return the names of the fields without a default."""
    return [name for name, field in options.model_fields.items() if field.is_required()]
