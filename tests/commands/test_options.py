"""One model of options gives the command line, its help, its mistakes, and a flow's parameters."""

import inspect
import tomllib
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from flows.parameters import parameters_of
from onerun import cli
from onerun.commands.command import Command
from onerun.commands.exit import EXTRAS, message_of
from onerun.commands.options import Argument, CommonOptions, Positional
from onerun.commands.ui import Ui
from onerun.config.mistakes import Mistakes

ROOT = Path(__file__).parents[2]


class PaintOptions(CommonOptions):
    what: Annotated[str, Positional] = Field(description="what is painted")
    colours: Annotated[list[str], Argument("--set", metavar="KEY=VALUE")] = Field(
        [], description="a part and its colour; may be repeated"
    )
    coats: int = Field(2, ge=1, le=9, description="how many coats")
    dry: bool = Field(False, description="wait until it is dry, 100 %")


class Painted(BaseModel):
    what: str
    colours: list[str]
    coats: int


def paint(options: PaintOptions, ui: Ui) -> Painted:
    ui.say(f"painting {options.what}")
    return Painted(what=options.what, colours=options.colours, coats=options.coats)


COMMAND = Command(
    name="paint", summary="Paint a thing.", options=PaintOptions, run=paint,
    examples=["onerun paint door --set frame=white"],
)  # fmt: skip


def test_values_arrive_as_they_were_typed() -> None:
    options = COMMAND.parse(["door", "--set", "a=[x, y]", "--set", 'b="1,2"', "--coats", "3"])
    assert options.colours == ["a=[x, y]", 'b="1,2"']
    assert (options.what, options.coats, options.dry, options.profile) == ("door", 3, False, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["door", "--coats", "many"], "--coats: expected a whole number, got 'many'"),
        (["door", "--coats", "0"], "--coats: should be greater than or equal to 1, got '0'"),
        (["--dry"], "WHAT: is missing"),
    ],
)
def test_a_mistake_names_the_option(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert COMMAND.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_json_is_the_result_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.main(["door", "--json"]) == 0
    out, err = capsys.readouterr()
    assert out == '{"what": "door", "colours": [], "coats": 2}\n'
    assert err == "painting door\n"


def test_help_says_defaults_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.main([], "python -m flows.paint") == 0
    text = capsys.readouterr().out
    assert "how many coats (2)" in text
    assert "wait until it is dry, 100 %" in text
    assert "python -m flows.paint door --set frame=white" in text
    assert "2 a mistake in what was asked" in text


def test_a_flow_has_the_options_as_parameters() -> None:
    @parameters_of(PaintOptions, without=("dry",))
    def painting(options: PaintOptions) -> int:
        """Paint a thing."""
        return options.coats

    assert list(inspect.signature(painting).parameters) == ["what", "colours", "coats", "profile"]
    assert painting("door", coats=4) == painting("door", colours=None, coats=4) == 4
    assert "coats: how many coats" in (painting.__doc__ or "")
    with pytest.raises(Mistakes, match="--coats: should be less than or equal to 9"):
        painting("door", coats=10)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_sentence_and_examples_that_it_takes(name: str) -> None:
    import shlex

    command = cli.command(name)
    assert command.name == name
    assert command.summary.endswith(".")
    assert f"  {name} " in cli.help_text()
    for example in command.examples:
        program, typed, *arguments = shlex.split(example)
        assert (program, typed) == ("onerun", name)
        command.parse(arguments)


def test_an_unknown_command_names_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bakup"]) == 2
    assert "did you mean backup?" in capsys.readouterr().err


def test_a_missing_part_is_answered_with_the_extra_that_brings_it() -> None:
    assert message_of(ModuleNotFoundError("No module named 'prefect'", name="prefect")) == (
        "prefect is not installed here: pip install 'onerun[prefect]'"
    )
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert set(EXTRAS.values()) <= set(extras)
