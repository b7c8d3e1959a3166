"""What leaves the process is as tests/public_api.yaml lists it: names, commands, JSON keys, flows, formats.

Moving and merging modules must not change it. To rewrite the list after an intended change:
WRITE_PUBLIC_API=1 .venv/bin/python -m pytest -n 0 tests/test_public_api.py
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from onerun import cli
from onerun.domain import names
from onerun.domain.cleanup.findings import KINDS
from onerun.domain.monitoring.series import ALL
from settings.profile import PrefectProfile
from settings.servers import Servers
from tests.public import commands, left, shapes, snapshot, source
from tests.public.world import World

ROOT = Path(__file__).parents[1]


def constants() -> dict[str, list[str]]:
    """Return the constants of onerun/domain/names.py by the first word of their names."""
    kinds: dict[str, list[str]] = {}
    for name, held in vars(names).items():
        if name.isupper():
            kinds.setdefault(name.partition("_")[0].lower(), []).extend(
                [held] if isinstance(held, str) else held
            )
    return {kind: held if kind == "stages" else sorted(held) for kind, held in kinds.items()}


def settings(of: type[BaseSettings]) -> dict[str, str]:
    """Return key -> variables, first the one that is set for programs, and default."""
    return {name: _setting(of, name) for name in of.model_fields}


def _setting(of: type[BaseSettings], name: str) -> str:
    field = of.model_fields[name]
    alias = field.validation_alias
    variables = alias.choices if isinstance(alias, AliasChoices) else [alias]
    default = "" if field.default is None else f" = {field.default}"
    return " or ".join(map(str, variables)) + default


def command_lines() -> dict[str, Any]:
    parsers = {command: commands.parser_of(command) for command in commands.COMMANDS}
    return {
        command: {"options": commands.options(parser), "exit codes": commands.exit_codes(parser)}
        for command, parser in parsers.items()
    }


def flows() -> dict[str, Any]:
    return {
        entry: facts
        for module in commands.FLOWS
        for entry, facts in commands.flow_facts(module).items()
    }


def deployments() -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    facts = ("entrypoint", "parameters")
    return {
        each["name"]: {fact: each.get(fact) for fact in facts} for each in document["deployments"]
    }


def keys(path: str) -> dict[str, str]:
    """Return the keys of a JSON schema; other tests see to it that it is what the code takes."""
    return shapes.schema_lines(json.loads((ROOT / path).read_text(encoding="utf-8")))


STATIC: dict[str, Callable[[], Any]] = {
    "names": constants,
    "names in the source": source.names_of_ours,
    "kinds of trouble": lambda: sorted(KINDS),
    "series for Prometheus": lambda: {
        each.name: f"{each.kind} ({', '.join(each.labels)})" for each in ALL
    },
    "environment variables": source.variables,
    "profile": lambda: settings(PrefectProfile),
    "servers of the local stack": lambda: settings(Servers),
    "command lines": command_lines,
    "commands of onerun": lambda: sorted(cli.COMMANDS),
    "flows": flows,
    "deployments": deployments,
    "work pools": lambda: [names.WORK_POOL],
    "artifacts at Prefect": source.artifact_keys,
    "recipe": lambda: keys("recipes/recipe.schema.json"),
    "policy": lambda: keys("policies/policy.schema.json"),
}
SEEN: dict[str, Callable[[World], Any]] = {
    "json": lambda world: world.shapes(),
    "left by a training": lambda world: left.by_training(
        world.uri, world.trained["run_id"], "houses"
    ),
    "environment of a training program": lambda world: sorted(world.given_to_programs),
    "archive of records": lambda world: left.archive_of_records(world.archives["records"]),
    "archive of folders": lambda world: left.archive_of_folders(world.archives["folders"]),
}


@pytest.fixture
def world(tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A project in which every command was run."""
    monkeypatch.chdir(tmp_path)
    made = World(tmp_path, prefect_server)
    made.live()
    yield made


@pytest.mark.parametrize("section", STATIC)
def test_what_the_code_says(section: str) -> None:
    snapshot.check({section: STATIC[section]()})


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_the_commands_do(world: World) -> None:
    """One test for all: pytest-xdist would run the commands once for each of several."""
    snapshot.check({section: look(world) for section, look in SEEN.items()})


def test_nothing_else_is_listed() -> None:
    assert set(snapshot.sections()) == {*STATIC, *SEEN}


def test_a_change_is_shown_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(snapshot.VARIABLE, raising=False)
    pools_now = snapshot.sections()["work pools"]
    with pytest.raises(AssertionError) as shown:
        snapshot.check({"work pools": [*pools_now[:-1], "another"]})
    for words in (
        f"-- {pools_now[-1]}",
        "+- another",
        "**breaking** in CHANGELOG.md",
        snapshot.REWRITE,
    ):
        assert words in str(shown.value)
