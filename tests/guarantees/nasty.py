"""Hypothesis strategies: recipes, profiles and overrides as nobody should write them."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from settings.profile import PrefectProfile

ROOT = Path(__file__).parents[2]
COMPLETE = """\
name: houses
task: regression
data:
  source: sklearn:diabetes
  target: target
  keep: [age, sex, bmi, bp]
  weight: bp
  time: age
  types: {age: number}
  missing: ["", NA]
  expectations:
    - expect_column_values_to_be_between: {column: age, min_value: -1, max_value: 1, severity: warning}
split: {by: hash, test: 0.2, validation: 10%, seed: 42, columns: [age]}
preprocess:
  numeric: {impute: median, scale: standard}
  categorical: {impute: constant, encode: onehot, max_levels: 10}
model:
  estimator: lightgbm.LGBMRegressor
  params: {n_estimators: 5, learning_rate: 1e-1}
  early_stopping: 2
train: {run_in: process, timeout: 30m, retries: 2}
evaluate: {primary: rmse, slices: [sex], explain: {rows: 20}}
gates:
  - {metric: r2, min: 0.1}
  - {better_than: champion, on: rmse, by: 1%, confidence: 0.95}
register: {model: houses, description: text, tags: {team: geo}, aliases: [newest]}
promote: {alias: champion, also: [production], approval: auto}
"""
RECIPES = [COMPLETE, *(path.read_text() for path in sorted((ROOT / "recipes").glob("*.yaml")))]


def deep(levels: int) -> Any:
    value: Any = 0
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


NUMBERS = [
    0,
    -1,
    1,
    2**31,
    2**63,
    -(2**63) - 1,
    10**400,
    1e308,
    -1e308,
    1e-320,
    float("inf"),
    float("nan"),
    0.1,
]
WORDS = [
    "", " ", "\n", "\t", "\0", "a\0b", "~", "null", "true", "no", "<<", "=", "*", "&a", "!!int 1", "%", "@", "`", "{",
    "[", "1_000", "0x1F", "0o17", "1e5", "2024-01-01", "12:30:45", "١٢", "²", "½", "é", "ß", "İ", "\u202e", "\u2028",
    "\ufeff", "𝒳", "🤯" * 50, "a" * 300, "a" * 20_000, "${HOME}", "${NOT_SET}", "../../x", "x/y", "x:y", "x'y", 'x"y',
    "latest", "90s", "1e3s", "٣s", "101%", "1e999", "9" * 400 + "s", "9" * 400 + "%", "os.system", "sklearn.x.Y",
    "v1", "lightgbm.Booster", "sklearn.linear_model._base.LinearModel", "numpy.float64", "sklearn.pipeline.Pipeline",
]  # fmt: skip
THINGS = [
    None,
    True,
    False,
    [],
    {},
    [None],
    [[]],
    {"": ""},
    {"a": None},
    {1: 2},
    {True: 1},
    deep(30),
    deep(60),
]
THINGS += [["x"] * 2000, {f"k{number}": number for number in range(500)}]

values = (
    st.sampled_from([*NUMBERS, *WORDS, *THINGS])
    | st.text(max_size=30)
    | st.integers()
    | st.floats()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=8,
    )
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields: the path of every key and item."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield (*here, key)
        yield from paths(inner, (*here, key))


DOCUMENTS = [yaml.safe_load(text) for text in RECIPES]


@st.composite
def changed(draw: st.DrawFn) -> str:
    """A recipe in which one to three values are others, missing, or under another key."""
    document = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(paths(document)) or [("data",)]))
        here = document
        for part in path[:-1]:
            here = here[part]
        if draw(st.booleans()) or not isinstance(here, dict):
            here[path[-1]] = copy.deepcopy(draw(values))
        else:
            kept = here.pop(path[-1], None)
            if draw(st.booleans()):
                here[
                    draw(
                        st.text(max_size=10) | st.sampled_from(["a", "7", 7, None, 1.5, True, "²"])
                    )
                ] = kept
    return str(yaml.safe_dump(document, allow_unicode=draw(st.booleans()), sort_keys=False))


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """The text of a recipe in which some characters are others."""
    text = draw(st.sampled_from(RECIPES))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        cut = draw(st.integers(0, 12))
        text = (
            text[:start] + draw(st.text(max_size=6) | st.sampled_from(WORDS)) + text[start + cut :]
        )
    return text + "\n"


keys = st.sampled_from(
    [".".join(map(str, path)) for document in DOCUMENTS for path in paths(document)]
)
written = st.sampled_from(
    [*WORDS, "[", "{a: ", "&a [*a]", "[&a [1, 2], *a, *a]", "!!python/name:os.system x", "- - -"]
)
overrides = st.builds(
    lambda key, value: f"{key}={value}",
    keys
    | st.text(max_size=12)
    | st.sampled_from(["", ".", "a..b", "gates.²", "gates.-1", "gates.99", "gates.0.0", "²"]),
    written
    | values.map(lambda value: yaml.safe_dump(value, default_flow_style=True).strip())
    | st.text(max_size=12),
)
profiles = st.dictionaries(
    st.sampled_from([*PrefectProfile.model_fields, "trackin_uri"]) | st.text(max_size=8),
    values | st.sampled_from(["sqlite:///x.db", "sqlite://", "http://", "http://[", "s3://", "http://127.0.0.1:99999", "file:///x"]),
    max_size=4,
).map(lambda profile: str(yaml.safe_dump(profile, allow_unicode=True)))  # fmt: skip
