"""Recipes, profiles, names and `--set` as nobody should write them (hypothesis): exit code 2, never a traceback."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from onerun.config.mistakes import Mistakes
from onerun.config.profile import check_profile
from onerun.engine.request import check, resolve
from settings.profile import load_profile
from tests.guarantees import nasty
from tests.guarantees.cells import cell
from tests.guarantees.nasty import COMPLETE
from tests.guarantees.trainings import PATIENCE, ROOT

REFUSED = ("nothing: exit code 2 with file, line and key", "by a person")


def examples(count: int) -> settings:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count, deadline=None, suppress_health_check=checks)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(recipe: str, *overrides: str, profile: str | None = None) -> None:
    """What the command does before anything starts; anything but Mistakes is a bug."""
    with suppress(Mistakes):
        request = resolve(recipe, load_profile(profile), overrides)
        if request.recipe.data.source == "sklearn:diabetes":  # another source might be a server
            check(request)


@cell(
    "P5",
    "a recipe whose values are others: wrong types, huge numbers, odd letters, deep nesting",
    *REFUSED,
)
@examples(400)
@given(text=nasty.changed())
def test_p5_changed_recipes(text: str) -> None:
    asked(text)


@cell("P5", "a recipe with damaged text", *REFUSED)
@examples(400)
@given(text=nasty.damaged())
def test_p5_damaged_recipes(text: str) -> None:
    asked(text)


@cell("P5", "a file of random bytes for a recipe", *REFUSED)
@examples(200)
@given(content=st.binary(max_size=200))
def test_p5_random_bytes(content: bytes) -> None:
    Path("recipe.yaml").write_bytes(content)
    asked("recipe.yaml")


@cell("P5", "an odd name for a recipe or a profile", *REFUSED)
@examples(300)
@given(name=st.text(max_size=40) | st.sampled_from(nasty.WORDS))
@example(name="a\0b")
@example(name="a" * 300)
def test_p5_odd_names(name: str) -> None:
    asked(name)
    with suppress(Mistakes):
        load_profile(name)


@cell("P5", "an odd `--set`", *REFUSED)
@examples(400)
@given(override=nasty.overrides)
@example(override="gates.²=1")
@example(override="gates.0.min=&a [*a]")
@example(override=f"gates.{'9' * 5000}=1")
def test_p5_odd_overrides(override: str) -> None:
    asked(COMPLETE, override)


@cell("P5", "a profile with odd values", *REFUSED)
@examples(300)
@given(text=nasty.profiles)
@example(text="0E0: 0")
@example(text='work: "\\0"')
def test_p5_odd_profiles(text: str) -> None:
    Path("odd.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    with suppress(Mistakes):
        profile = load_profile("odd.yaml")
        profile.variables(), profile.public(), repr(profile)
        check_profile(profile)


@pytest.mark.fast
@examples(25)
@given(text=nasty.changed(), damaged=nasty.damaged(), override=nasty.overrides)
@example(text="a\0b", damaged="a" * 300, override="gates.²=1")
@example(text=COMPLETE, damaged=COMPLETE, override="gates.0.min=&a [*a]")
def test_p5_a_few_of_each(text: str, damaged: str, override: str) -> None:
    asked(text)
    asked(damaged)
    asked(COMPLETE, override)


def command_lines() -> Iterator[list[str]]:
    """Yields: arguments for the real command, some of which no text can express."""
    yield ["--recipe", "recipe.yaml", "--set", "gates.²=1"]
    yield ["--recipe", "recipe.yaml", "--set", "gates.0.min=&a [*a]"]
    yield ["--recipe", "recipe.yaml", "--set", os.fsdecode(b"name=\xff\xfe")]
    yield ["--recipe", os.fsdecode(b"\xff\xfe.yaml")]
    yield ["--recipe", "a" * 300]
    yield ["--recipe", "recipe.yaml", "--profile", os.fsdecode(b"\xff")]
    yield ["--recipe", "recipe.yaml", "--set", "data.drop=[&a [1, 2], *a, *a]"]
    yield ["--recipe", "recipe.yaml", "--set", "split.test=1e999"]


@cell("P5", "the same through the command itself, with bytes that are no text", *REFUSED)
def test_p5_the_command_ends_with_2(in_an_empty_folder: Path) -> None:
    (in_an_empty_folder / "recipe.yaml").write_text(COMPLETE)
    given = {**os.environ, "PYTHONPATH": str(ROOT)}
    for arguments in command_lines():
        done = subprocess.run(
            [sys.executable, "-m", "flows.train", *arguments, "--plan"],
            cwd=in_an_empty_folder, env=given, capture_output=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        said = done.stderr.decode(errors="replace")
        assert (done.returncode, "Traceback" in said) == (2, False), (arguments, said)
        assert len(said) < 5000
    assert [path.name for path in in_an_empty_folder.iterdir()] == ["recipe.yaml"]
