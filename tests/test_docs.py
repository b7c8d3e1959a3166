"""The documentation is true: every key of a recipe is described, every shipped recipe is a good one."""

import re
import shlex
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from deployments import deploy, schedules, worker
from deployments.kubernetes import __main__ as kubernetes
from deployments.stack import __main__ as stack
from flows import metrics
from flows.checking import checkup
from flows.reconciling import reconciler
from flows.training import launch
from onerun.cli import COMMANDS, command
from onerun.commands.rescue import REPAIR_KEEPS_IN
from onerun.config.evaluation import BetterThan, Evaluate, Explain, Promote, Register, Threshold
from onerun.config.loading import load_policy, load_recipe
from onerun.config.policy import (
    Backups,
    Best,
    Keep,
    Policy,
    Protect,
    Select,
    Snapshots,
    Work,
)
from onerun.config.recipe import Categorical, Data, Model, Numeric, Preprocess, Recipe, Split, Train
from onerun.config.schema import PATH, schema_text
from onerun.domain.cleanup.plan import BatchSizer
from onerun.domain.monitoring import series
from tests.test_words import TEXTS

PARSERS = {
    "flows.train": launch.COMMAND.parser, "flows.promote": command("promote").parser, "flows.doctor": checkup.parser,
    "flows.reconcile": reconciler.command(ExitStack()).parser,
    "deployments.stack": stack.parser, "deployments.worker": worker.parser,
    "deployments.kubernetes": kubernetes.parser,
}  # fmt: skip
PARSERS |= {f"flows.{name}": command(name).parser for name in ("maintain", "summary")}
PARSERS |= {"flows.metrics": metrics.parser}
PARSERS |= {
    "deployments.deploy": deploy.COMMAND.parser,
    "deployments.schedules": schedules.COMMAND.parser,
}
PARSERS |= {
    "flows.backup": command("backup").parser,
    "flows.restore": command("restore").parser,
    "flows.rescue": command("rescue").parser,
}
ROOT = Path(__file__).parents[1]
GUIDES = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = r"\]\((?!https?:)([^)\s]+)\)"
SECTIONS = [
    Recipe, Data, Split, Preprocess, Numeric, Categorical, Model, Train, Evaluate, Explain, Threshold, BetterThan,
    Register, Promote,
]  # fmt: skip


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_of_a_recipe_is_described(section: type[BaseModel]) -> None:
    text = (ROOT / "docs" / "recipe.md").read_text()
    for name, field in section.model_fields.items():
        key = field.alias or name
        assert re.search(rf"[`.]{key}[`.]", text), (
            f"docs/recipe.md does not describe {section.__name__}.{key}"
        )


def test_the_editor_schema_is_current() -> None:
    assert PATH.read_text() == schema_text(), "run python -m onerun.config.schema"


@pytest.mark.parametrize("section", [Policy, Select, Keep, Best, Protect, Backups, Work, Snapshots])
def test_every_key_of_a_policy_is_described(section: type[BaseModel]) -> None:
    text = (ROOT / "docs" / "maintenance.md").read_text()
    for key in section.model_fields:
        assert re.search(rf"[`.]{key}[`.]", text), (
            f"docs/maintenance.md does not describe {section.__name__}.{key}"
        )


def test_every_series_is_described_and_every_one_that_is_named_exists() -> None:
    text = (ROOT / "docs" / "monitoring.md").read_text()
    said = set(re.findall(r"\bonerun_[a-z_]+", text))
    assert said == {each.name for each in series.ALL}
    for each in series.ALL:
        (row,) = [
            line for line in text.splitlines() if re.match(rf"\|.*`{each.name}`.*\|.*\|.*\|$", line)
        ]
        labels = re.findall(r"`(\w+)`", row.split("|")[2])
        assert set(each.labels) <= set(labels), (
            f"docs/monitoring.md: {each.name} has the labels {each.labels}"
        )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.name
)
def test_every_shipped_recipe_is_a_good_one(path: Path) -> None:
    recipe = load_recipe(str(path))
    assert recipe.description or path.name == "diabetes.yaml"
    assert path.read_text().startswith("# yaml-language-server: $schema=recipe.schema.json\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_each_command_of_a_page_exists(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(LINK, text):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name} links to {target}"
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^ +|`)make ([a-z-]+)", text, flags=re.MULTILINE):
        assert f"\n{target}:" in makefile, f"{page.name} says make {target}"
    for line in re.findall(
        r"^ +python -m ((?:flows|deployments)\.\w+ [^#\n]+)", text, flags=re.MULTILINE
    ):
        module, *arguments = shlex.split(line)
        if module in PARSERS:
            PARSERS[module]().parse_args(arguments)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_readme_links_every_page() -> None:
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)", (ROOT / "README.md").read_text()))
    assert linked == {page.name for page in GUIDES}


def onerun_lines(text: str) -> list[str]:
    """Return the lines of the command `onerun`: those of their own and those within a sentence."""
    lines = re.findall(r"^ +onerun ([a-z][^#\n]*)", text, flags=re.MULTILINE)
    return lines + re.findall(r"`onerun ([a-z]+ [^`|…]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_line_of_the_command_onerun_is_one_that_it_takes(page: Path) -> None:
    for name, *arguments in map(shlex.split, onerun_lines(page.read_text())):
        assert name in COMMANDS, f"{page.name} says onerun {name}"
        if arguments:
            command(name).parse(arguments)


def test_the_readme_of_a_new_project_names_commands_that_exist() -> None:
    text = (ROOT / "onerun" / "project" / "texts" / "README.md.jinja").read_text()
    lines = onerun_lines(text.replace("{{ sample }}", "wine"))
    for name, *arguments in map(shlex.split, lines):
        command(name).parse(arguments)
    assert len(lines) >= 3


@pytest.mark.parametrize("name", [f"onerun.{name}" for name in COMMANDS] + sorted(PARSERS))
def test_every_option_of_a_command_is_on_some_page(name: str) -> None:
    text = "\n".join(page.read_text() for page in (ROOT / "README.md", *GUIDES))
    parser = PARSERS[name]() if name in PARSERS else command(name.removeprefix("onerun.")).parser()
    options = set(re.findall(r"--[a-z][a-z-]+", parser.format_usage()))
    missing = [each for each in options if not re.search(rf"{each}(?![\w-])", text)]
    assert sorted(set(missing) - {"--help"}) == []


@pytest.mark.parametrize("page", [ROOT / "README.md", *GUIDES], ids=lambda page: page.name)
def test_pages_use_plain_words(page: Path) -> None:
    text = page.read_text()
    if page.name == "guarantees.md":  # its table is written by tests
        before, _, rest = text.partition("<!-- the table")
        text = before + rest.partition("<!-- end of the table -->")[2]
    found = [
        f"{number}: {match[0]!r} -> {instead}"
        for number, line in enumerate(text.splitlines(), start=1)
        for pattern, instead in TEXTS.items()
        if (match := re.search(pattern, line))
    ]
    assert found == []


def test_commands_of_prefects_are_ones_that_it_takes() -> None:
    from prefect.cli._app import _app as prefect

    pages = "\n".join(page.read_text() for page in PAGES)
    lines = re.findall(r"^ +prefect ([^#\n]+)", pages, flags=re.MULTILINE)
    lines += re.findall(r"`prefect ([^`]+ --[^`]+)`", pages)
    for line in lines:
        prefect.parse_args(shlex.split(line), exit_on_error=False, print_error=False)
    assert len(lines) >= 8


def test_the_examples_of_the_maintenances_help_are_good_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    lines = [shlex.split(line)[2:] for line in command("maintain").examples]
    for options in map(command("maintain").parse, lines):
        load_policy(options.policy, options.overrides)
    assert len(lines) >= 3


@pytest.mark.parametrize("module", [checkup, kubernetes, metrics, stack, worker])
def test_the_examples_of_other_commands_are_good_ones(module: ModuleType) -> None:
    lines = re.findall(r"^  python -m \S+ ?(.*)$", module.EXAMPLE, flags=re.MULTILINE)
    for line in lines:
        module.parser().parse_args(shlex.split(line))
    assert len(lines) >= 2


def test_the_examples_of_the_help_are_good_ones() -> None:
    for example in launch.COMMAND.examples:
        options = launch.COMMAND.parse(shlex.split(example)[2:])
        load_recipe(options.recipe, options.overrides)
    assert len(launch.COMMAND.examples) >= 3


def test_the_examples_of_deployments_are_good_ones() -> None:
    for each in (deploy.COMMAND, schedules.COMMAND):
        for example in each.examples:
            each.parse(shlex.split(example, comments=True)[2:])
    assert len(deploy.COMMAND.examples) >= 4


def test_pages_say_how_large_a_batch_is_and_where_a_repair_keeps_its_backup() -> None:
    (page,) = (ROOT / "docs" / "decisions").glob("0009-*.md")
    least, most = BatchSizer(), BatchSizer()
    for _ in range(20):
        least.took(10, least.at_once)
        most.took(0.1, most.at_once)
    words = (
        f"first batch has {BatchSizer().at_once} runs",
        f"never fewer than {least.at_once} or more than {most.at_once:,}",
    )
    assert all(each in page.read_text().replace("\n", " ") for each in words)
    assert f"into `{REPAIR_KEEPS_IN}/`" in (ROOT / "docs" / "backup-and-rescue.md").read_text()
    assert f"or {REPAIR_KEEPS_IN})" in " ".join(command("rescue").parser().format_help().split())
