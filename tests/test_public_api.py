"""What leaves the process is as tests/public_api.yaml lists it: names, commands, JSON keys, flows, formats."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from domain import names
from domain.maintenance.findings import KINDS
from domain.monitoring.series import ALL
from settings.profile import Profile
from settings.servers import Servers
from tests.public import commands, left, shapes, source
from tests.public.snapshot import check
from tests.public.world import World

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Iterator[World]:
    """A project in which every command was run."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = World(folder, prefect_server)
        made.live()
        yield made


def test_the_names_in_mlflow_and_prefect() -> None:
    constants = {name: held for name, held in vars(names).items() if name.isupper()}
    kinds: dict[str, list[str]] = {}
    for name, held in constants.items():
        kinds.setdefault(name.partition("_")[0].lower(), []).extend([held] if isinstance(held, str) else held)
    stages = kinds.pop("stages")
    sorted_kinds = {kind: sorted(held) for kind, held in kinds.items()}
    check("names", {**sorted_kinds, "stages in order": stages, "names in the source": source.names_of_ours()})


def test_the_kinds_of_trouble() -> None:
    check("kinds of trouble", sorted(KINDS))


def test_the_series_of_prometheus() -> None:
    check("series", {each.name: f"{each.kind} ({', '.join(each.labels)})" for each in ALL})


def test_the_environment_and_profiles() -> None:
    check("environment variables", source.variables())
    check("profile", {name: _setting(Profile, name) for name in Profile.model_fields})
    check("servers", {name: _setting(Servers, name) for name in Servers.model_fields})


def _setting(settings: type[BaseSettings], name: str) -> str:
    """Return the variables of a field, the first is the one to set, and its default."""
    field = settings.model_fields[name]
    alias = field.validation_alias
    variables = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return " or ".join(map(str, variables)) + ("" if field.default is None else f" = {field.default}")


@pytest.mark.parametrize("command", commands.COMMANDS)
def test_the_command_lines(command: str) -> None:
    parser = commands.parser_of(command)
    check(f"command {command}", {"options": commands.options(parser), "exit codes": commands.exit_codes(parser)})


def test_the_flows() -> None:
    facts = {entry: fact for module in commands.FLOWS for entry, fact in commands.flow_facts(module).items()}
    check("flows", facts)


def test_the_deployments() -> None:
    document = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    found = {each["name"]: {key: each.get(key) for key in ("entrypoint", "parameters")} for each in document["deployments"]}
    check("deployments", found)


@pytest.mark.parametrize("path", ["recipes/recipe.schema.json", "policies/policy.schema.json"])
def test_the_keys_of_recipes_and_policies(path: str) -> None:
    schema: dict[str, Any] = json.loads((ROOT / path).read_text(encoding="utf-8"))
    check(Path(path).name.partition(".")[0], shapes.schema_lines(schema))


@pytest.mark.slow
def test_the_json_of_every_command(world: World) -> None:
    check("json", world.shapes())


@pytest.mark.slow
def test_what_a_training_leaves(world: World) -> None:
    check("left by a training", left.by_training(world.uri, world.trained["run_id"], "houses"))


@pytest.mark.slow
def test_what_a_training_program_finds(world: World) -> None:
    ours = ("ONERUN_", "MLFLOW_", "AWS_", "PYTHON", "PATH")
    check("environment of a training program", sorted(name for name in world.given_to_programs if name.startswith(ours)))


@pytest.mark.slow
def test_the_archives(world: World) -> None:
    check("archive of records", left.archive_of_records(world.archives["records"]))
    check("archive of folders", left.archive_of_folders(world.archives["folders"]))
