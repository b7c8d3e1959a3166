"""What to train. A recipe names no infrastructure: what runs on a laptop runs on the cluster unchanged."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, Strict, field_validator, model_validator
from pydantic_core import PydanticCustomError

from onerun.config.evaluation import Evaluate, Gate, Promote, Register
from onerun.config.fields import (
    IMPORT_PATH,
    Column,
    Columns,
    Duration,
    Fraction,
    ModelName,
    Section,
    Words,
)

ColumnType = Literal["number", "integer", "boolean", "category", "date"]


class Data(Section):
    """The table to learn from."""

    source: str = Field(
        min_length=1,
        max_length=4000,
        description="A path, glob or folder; s3://, http(s)://; an SQLAlchemy URL (with query); or sklearn:NAME.",
    )
    query: str | None = Field(
        None, max_length=100_000, description="The SQL query, when source is a database."
    )
    format: Literal["csv", "tsv", "parquet", "jsonl"] | None = Field(
        None, description="The format of the files, where their names do not tell."
    )
    target: Column = Field(description="The column to predict.")
    keep: Columns | None = Field(None, description="Use these columns as features and no others.")
    drop: Columns = Field((), description="Never use these columns as features.")
    weight: Column | None = Field(None, description="Column of sample weights, not a feature.")
    group: Column | None = Field(
        None, description="Column whose equal values stay in one part (split by group)."
    )
    time: Column | None = Field(None, description="Column that orders the rows (split by time).")
    types: dict[Column, ColumnType] = Field(
        default_factory=dict,
        description="How to read columns whose type cannot be seen from their values.",
    )
    missing: Words = Field(
        ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A"),
        description="Texts that mean a missing value in CSV and TSV files.",
    )
    expectations: Annotated[tuple[dict[str, dict[str, Any]], ...], Strict(False)] = Field(
        (),
        max_length=1000,
        description="Great Expectations types by their own names, with their arguments.",
    )

    @model_validator(mode="after")
    def _target_is_no_weight(self) -> Self:
        if self.target == self.weight:
            raise ValueError(f"weight: {self.weight} is the target; name another column, or none")
        return self

    @field_validator("source")
    @classmethod
    def _holds_no_password(cls, source: str) -> str:
        found = re.search(r"://[^/@\s]*:([^/@\s]+)@", source)
        if found and not re.fullmatch(r"\$\{\w+\}", found[1]):
            raise PydanticCustomError(
                "password",
                "a password has no place in a recipe; write ${NAME} and set that variable",
            )
        return source


class Split(Section):
    """How rows are divided into training, validation and test parts."""

    by: Literal["hash", "random", "stratified", "group", "time"] = Field(
        "hash",
        description="hash: by content, stable when rows are added; stratified: by target; time: newest last.",
    )
    test: Fraction = Field(
        0.2, gt=0, lt=1, description="Share of the rows in the frozen test part."
    )
    validation: Fraction = Field(
        0.1, ge=0, lt=1, description="Share of the rows in the validation part."
    )
    seed: int = Field(42, ge=0, le=2**32 - 1, description="Seed of the division.")
    columns: Columns = Field(
        (), description="hash: the columns that identify a row; all of them when empty."
    )

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> Self:
        if self.test + self.validation >= 1:
            raise ValueError(
                f"test ({self.test:g}) and validation ({self.validation:g}) leave no rows to train on"
            )
        return self


class Numeric(Section):
    """What happens to numbers, dates and booleans."""

    impute: Literal["none", "mean", "median", "most_frequent", "zero"] = Field(
        "median", description="What stands in for a missing number."
    )
    scale: Literal["none", "standard", "minmax", "robust"] = Field(
        "standard", description="How numbers are scaled."
    )


class Categorical(Section):
    """What happens to categories."""

    impute: Literal["none", "most_frequent", "constant"] = Field(
        "none",
        description="What stands in for a missing or unseen category; none: a level of its own.",
    )
    encode: Literal["onehot", "ordinal", "native"] = Field(
        "onehot",
        description="onehot, ordinal codes, or the estimator's own handling of categories (native).",
    )
    max_levels: int = Field(
        1000,
        ge=2,
        le=1_000_000,
        description="Rarer levels than this many most frequent ones count as unseen.",
    )


class Preprocess(Section):
    """How columns become numbers; when omitted, what suits the estimator."""

    numeric: Numeric = Numeric()
    categorical: Categorical = Categorical()


class Model(Section):
    """The estimator and its parameters."""

    estimator: str = Field(
        max_length=300,
        pattern=IMPORT_PATH,
        description="Import path of a scikit-learn compatible estimator, such as lightgbm.LGBMRegressor.",
    )
    params: dict[str, Any] = Field(
        default_factory=dict, description="The estimator's own parameters."
    )
    early_stopping: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Stop after this many rounds without progress on the validation part.",
    )


class Train(Section):
    """Where and how long the training itself runs."""

    run_in: Literal["task", "process", "command"] = Field(
        "task",
        description="task: in the flow's process; process: in a fresh Python; command: any program.",
    )
    command: Annotated[tuple[str, ...], Strict(False)] | None = Field(
        None, min_length=1, description="The program and its arguments (run_in: command)."
    )
    timeout: Duration | None = Field(
        None, ge=1, le=30 * 86400, description="Longest time one try may take."
    )
    retries: int = Field(
        0,
        ge=0,
        le=100,
        description="How often a training that was killed or cut off is tried again.",
    )

    @model_validator(mode="after")
    def _command_goes_with_run_in(self) -> Self:
        if (self.run_in == "command") != (self.command is not None):
            raise ValueError("run_in: command and command: [...] go together")
        return self


class Recipe(Section):
    """One training, from data to a promoted model."""

    name: ModelName = Field(
        "onerun", description="The experiment and the registered model are called this."
    )
    description: str = Field(
        "", max_length=10_000, description="What this model is for, in a sentence."
    )
    task: Literal["regression", "classification"] | None = Field(
        None, description="What is predicted; read from the estimator when omitted."
    )
    data: Data
    split: Split = Split()
    preprocess: Preprocess | None = Field(
        None, description="How columns become numbers; when omitted, what suits the estimator."
    )
    model: Model | None = Field(None, description="The estimator; a command brings its own.")
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    gates: Annotated[tuple[Gate, ...], Strict(False)] = Field(
        (), max_length=100, description="Rules that must all hold before the alias moves."
    )
    register_: Register = Field(Register(), alias="register")
    promote: Promote = Promote()

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if self.model is None and self.train.run_in != "command":
            raise ValueError("model.estimator is missing (only train.run_in: command goes without)")
        if self.model is None and self.task is None:
            raise ValueError(
                "task is missing: regression or classification; a command brings no estimator to tell"
            )
        if self.split.by == "group" and self.data.group is None:
            raise ValueError(
                "split.by: group needs data.group, the column whose equal values stay together"
            )
        if self.split.by == "time" and self.data.time is None:
            raise ValueError("split.by: time needs data.time, the column that orders the rows")
        if self.model is not None and self.model.early_stopping and not self.split.validation:
            raise ValueError(
                "model.early_stopping needs a validation part; set split.validation above 0"
            )
        return self

    @property
    def model_name(self) -> str:
        """The registered model's name."""
        return self.register_.model or self.name
