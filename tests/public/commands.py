"""The command lines, run as `python -m` runs them but in this process, and what they offer."""

import argparse
import contextlib
import importlib
import io
import json
import os
import re
import runpy
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from tests.public.shapes import schema_lines

ROOT = Path(__file__).parents[2]
MODULES = {f"flows.{file.stem}": file for file in sorted((ROOT / "flows").glob("*.py"))}
FLOWS = [module for module in MODULES if module != "flows.__init__"]
COMMANDS = [
    *(module for module, file in MODULES.items() if "__main__" in file.read_text(encoding="utf-8")),
    "deployments.worker",
    "deployments.stack",
    "deployments.kubernetes",
    "deployments.deploy",
    "deployments.schedules",
]
DEFAULT = re.compile(r"\(([^()]+)\)$")  # at the end of an option's help


class Ended(NamedTuple):
    """How a command ended: exit code, and what it printed on stdout."""

    code: int
    out: str

    @property
    def json(self) -> dict[str, Any]:
        """Return the object on stdout."""
        result: dict[str, Any] = json.loads(self.out)
        return result


def run(module: str, *arguments: str) -> Ended:
    """Run `python -m module arguments`, in this process: starting another one costs seconds."""
    out = io.StringIO()
    with (
        mock.patch.object(sys, "argv", [module, *arguments]),
        mock.patch.dict(os.environ),  # what the command sets is not set for the next one
        warnings.catch_warnings(),
    ):
        warnings.simplefilter(
            "ignore", RuntimeWarning
        )  # runpy's, where a module is imported already
        try:
            with contextlib.redirect_stdout(out):
                runpy.run_module(module, run_name="__main__")
        except SystemExit as end:
            return Ended(int(end.code or 0), out.getvalue())
    raise AssertionError(f"{module} ended without an exit code")


class _Seen(Exception):
    """Carries a command's parser out of the command."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(module: str) -> argparse.ArgumentParser:
    """Return the parser with which the command would read its arguments."""

    def seen(parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        raise _Seen(parser)

    with mock.patch.object(argparse.ArgumentParser, "parse_known_args", seen):
        try:
            run(module, "--anything")
        except _Seen as found:
            return found.parser
    raise AssertionError(f"{module} reads no arguments")


def options(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return name -> whether it takes a value, its choices and its default."""
    return dict(_option(action) for action in parser._actions if action.dest != "help")


def _option(action: argparse.Action) -> tuple[str, str]:
    facts = ["switch" if action.nargs == 0 else "value"]
    if isinstance(action, argparse._AppendAction):
        facts = ["value, may be repeated"]
    if action.choices:
        facts = [" | ".join(map(str, action.choices))]
    if default := _default(action):
        facts.append(f"default {default}")
    return ", ".join(action.option_strings) or action.dest, ", ".join(facts)


def _default(action: argparse.Action) -> str:
    """Return the default; as the help has it where the parser does not know it."""
    if action.nargs == 0 or action.default == []:
        return ""
    if action.default in (None, argparse.SUPPRESS):
        told = DEFAULT.search(action.help or "")
        return told[1] if told else ""
    return str(action.default)


def exit_codes(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return exit code -> meaning, as the help has it."""
    said = re.split(r"exit codes:", " ".join((parser.epilog or "").split()))[-1]
    found = re.findall(r"(?:^|[,;] )(\d+) (.*?)(?=[,;] \d+ |$)", said.strip())
    return dict(found)


def flow_facts(module: str) -> dict[str, Any]:
    """Return the flows of a module: entry point -> name and parameters, and the forms that they show."""
    from prefect import Flow
    from prefect.input import RunInput
    from prefect.utilities.callables import parameter_schema

    facts: dict[str, Any] = {}
    for name, held in vars(importlib.import_module(module)).items():
        if isinstance(held, Flow):
            parameters = schema_lines(parameter_schema(held).model_dump_for_openapi())
            facts[f"{module}.{name}"] = {"name": held.name, "parameters": parameters}
        elif isinstance(held, type) and issubclass(held, RunInput) and held.__module__ == module:
            facts[f"{module}.{name} (form)"] = schema_lines(held.model_json_schema())
    return facts
