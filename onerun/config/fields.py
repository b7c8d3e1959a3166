"""The kinds of value a recipe is made of: strict, frozen, bounded."""

import re
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    WithJsonSchema,
)


class Section(BaseModel):
    """A part of a recipe: unknown keys are refused, values are never coerced, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(value: Any) -> Any:
    """`90`, `"90s"`, `"30m"`, `"2h"`, `"1d"` → seconds."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", value)
        if not match:
            raise ValueError("expected a duration such as 90s, 30m, 2h or 1d")
        return float(match[1]) * SECONDS[match[2]]
    return value


def _fraction(value: Any) -> Any:
    """`0.01` or `"1%"` → 0.01."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value)
        if not match:
            raise ValueError("expected a fraction such as 0.01 or 1%")
        return float(match[1]) / 100
    return value


def _not_reserved(alias: str) -> str:
    if re.fullmatch(r"latest|v\d+", alias, flags=re.IGNORECASE):
        raise ValueError(
            f"{alias} is reserved by MLflow (latest, v1, v2 ...); choose another alias"
        )
    return alias


def _one_or_many(value: Any) -> Any:
    """A single name stands for a list of one."""
    return (
        (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    )


_duration_schema = {
    "anyOf": [
        {"type": "number", "minimum": 1},
        {"type": "string", "pattern": r"^\d+(\.\d+)?[smhd]$"},
    ]
}
_fraction_schema = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^\d+(\.\d+)?%$"}]}
_names_schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}

Duration = Annotated[float, BeforeValidator(seconds), WithJsonSchema(_duration_schema)]
Fraction = Annotated[float, BeforeValidator(_fraction), WithJsonSchema(_fraction_schema)]
Column = Annotated[str, Field(min_length=1, max_length=1000)]
Columns = Annotated[
    tuple[Column, ...], Strict(False), BeforeValidator(_one_or_many), WithJsonSchema(_names_schema)
]
Words = Annotated[
    tuple[str, ...], Strict(False), BeforeValidator(_one_or_many), WithJsonSchema(_names_schema)
]
MODEL_NAME = r"^[^/:.%\"'\s][^/:%\"']*$"
ALIAS = r"^[A-Za-z_][A-Za-z0-9_-]{0,254}$"
IMPORT_PATH = r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$"
MEANING = {  # of the patterns, for a person
    MODEL_NAME: "expected a name without / : % and quotes that begins with no dot or blank",
    ALIAS: "expected a word of letters, digits, _ and - that begins with a letter or _",
    IMPORT_PATH: "expected an import path such as lightgbm.LGBMRegressor",
}

ModelName = Annotated[str, Field(min_length=1, max_length=200, pattern=MODEL_NAME)]
Alias = Annotated[str, Field(pattern=ALIAS), AfterValidator(_not_reserved)]
