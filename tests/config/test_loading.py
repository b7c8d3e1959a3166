"""Mistakes surface before work (P5): each with its file, line, key, and the near miss."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onerun.config.loading import load_recipe
from onerun.config.mistakes import Mistakes

GOOD = """\
data:
  source: table.csv
  target: price
model:
  estimator: lightgbm.LGBMRegressor
  params: {learning_rate: 1e-3}
gates:
  - {metric: r2, min: 0.5}
"""


def mistakes(text: str, *overrides: str) -> list[str]:
    with pytest.raises(Mistakes) as caught:
        load_recipe(text, overrides)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_a_recipe_is_called_after_its_file_unless_it_says_its_name(tmp_path: Path) -> None:
    path = tmp_path / "houses.yaml"
    path.write_text(GOOD)
    assert load_recipe(str(path)).name == "houses"
    assert load_recipe(str(path), ["name=flats"]).model_name == "flats"


def test_one_line_of_json_is_a_recipe_and_no_file_name() -> None:
    line = '{"name": "flats", "data": {"source": "t.csv", "target": "y"}, "model": {"estimator": "lightgbm.LGBMRegressor"}}'
    assert load_recipe(line).name == "flats"
    assert load_recipe(f"  {line}", ["name=houses"]).name == "houses"
    assert "recipe:1: data.taget: unknown key; did you mean target?" in mistakes(
        line.replace("target", "taget")
    )
    assert mistakes(line[:-1])[0].startswith("recipe:1: not readable as YAML")


def test_a_file_that_is_not_there_has_a_near_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "houses.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert mistakes("hoses") == ["hoses: no such recipe; did you mean houses?"]


def test_numbers_are_read_as_yaml_1_2_reads_them() -> None:
    recipe = load_recipe(GOOD.replace("1e-3", "1e-3, verbose: no, path: 010, ratio: .5"))
    assert recipe.model is not None
    assert recipe.model.params == {
        "learning_rate": 0.001,
        "verbose": "no",
        "path": 10,
        "ratio": 0.5,
    }


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "target: price",
            "taget: price",
            "recipe:3: data.taget: unknown key; did you mean target?",
        ),
        ("target: price", "target: 7", "recipe:3: data.target: expected a string, got 7"),
        ("metric: r2", "metrc: r2", "recipe:8: gates.0.metrc: unknown key; did you mean metric?"),
        ("min: 0.5", "min: high", 'recipe:8: gates.0.min: expected a number, got "high"'),
        ("min: 0.5", "min: 2, max: 1", "recipe:8: gates.0: min (2) is above max (1)"),
        (
            "gates:",
            "split: {test: 150%}\ngates:",
            "recipe:7: split.test: should be less than 1, got",
        ),
        (
            "gates:",
            "train: {timeout: soon}\ngates:",
            "recipe:7: train.timeout: expected a duration such as 90s, 30m",
        ),
        (
            "gates:",
            "promote: {alias: v3}\ngates:",
            "recipe:7: promote.alias: v3 is reserved by MLflow",
        ),
        (
            "  target: price",
            "  target: a\n  target: b",
            "recipe:4: data.target: stands twice (first on line 3)",
        ),
        (
            "  target: price",
            "\ttarget: price",
            "recipe:3: not readable as YAML: a tab stands where",
        ),
        (
            "target: price",
            "target: !!python/name:os.system x",
            "recipe:3: not readable as YAML: could not determine",
        ),
        ("gates:", "---\ngates:", "recipe:7: not readable as YAML: two documents in one file"),
        (
            "table.csv",
            "postgresql://me:secret@db/x",
            "recipe:2: data.source: a password has no place in a recipe",
        ),
    ],
)
def test_a_mistake_names_its_line_and_key(old: str, new: str, expected: str) -> None:
    found = mistakes(GOOD.replace(old, new))
    assert any(mistake.startswith(expected) for mistake in found), found


def test_all_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    found = mistakes(GOOD.replace("source", "sorce").replace("metric", "metrc"))
    assert [mistake.split(":")[1] for mistake in found] == sorted(
        mistake.split(":")[1] for mistake in found
    )
    assert len(found) == 4


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("split.sed=7", "--set: split.sed: unknown key; did you mean seed?"),
        ("gates.3.min=1", "--set: gates.3: gates has 1 items; count from 0"),
        ("data.source.x=1", "--set: data.source.x: data.source is a single value, not a section"),
        ("split", "--set: expected key.path=value, such as split.seed=7, got 'split'"),
        ("split.seed=many", '--set: split.seed: expected a whole number, got "many"'),
    ],
)
def test_a_wrong_override_is_told_as_such(override: str, expected: str) -> None:
    assert mistakes(GOOD, override) == [expected]


def test_overrides_reach_every_kind_of_place() -> None:
    recipe = load_recipe(
        GOOD, ["split.seed=7", "model.params.num_leaves=3", "gates.0.min=0.1", "data.drop=[a, b]"]
    )
    assert recipe.split.seed == 7
    assert recipe.model is not None and recipe.model.params["num_leaves"] == 3
    assert recipe.gates[0].rule == "r2 >= 0.1"
    assert recipe.data.drop == ("a", "b")


def test_a_missing_file_names_the_near_one(tmp_path: Path) -> None:
    (tmp_path / "houses.yaml").write_text(GOOD)
    with pytest.raises(Mistakes, match=r"no such recipe; did you mean .*houses\.yaml\?"):
        load_recipe(str(tmp_path / "hoses.yaml"))


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a" * 10_000_000)
    with pytest.raises(Mistakes, match="larger than"):
        load_recipe(str(path))
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(Mistakes, match="not UTF-8"):
        load_recipe(str(path))
    with pytest.raises(Mistakes, match="Is a directory"):
        load_recipe(str(tmp_path))


def test_aliases_that_explode_are_refused() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    assert "a recipe holds no data" in mistakes(bomb)[0]


@given(st.text(max_size=200))
def test_no_text_raises_anything_but_mistakes(text: str) -> None:
    with pytest.raises(Mistakes):
        load_recipe(f"{text}\n")


@given(st.text(max_size=60), st.text(max_size=20))
def test_no_override_raises_anything_but_mistakes(key: str, value: str) -> None:
    with contextlib.suppress(Mistakes):
        load_recipe(GOOD, [f"{key}={value}"])
