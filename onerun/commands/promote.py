"""`onerun promote`: who holds an alias, since when and why, and moving it by hand, on the record."""

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from onerun.commands.command import Command
from onerun.commands.options import Argument, CommonOptions
from onerun.commands.profile_store import use_registry
from onerun.commands.ui import Ui
from onerun.domain.ledger import Move
from onerun.domain.promotion import move_command


class MoveOptions(CommonOptions):
    """Which alias of which model goes where, and why."""

    model: Annotated[str, Argument(metavar="NAME")] = Field(description="the registered model")
    alias: Annotated[str, Argument(metavar="NAME")] = Field("champion", description="the alias")
    to: Annotated[str | None, Argument(metavar="VERSION")] = Field(
        None, description="move it to this version"
    )
    why: Annotated[str, Argument(metavar="TEXT")] = Field(
        "", description="what the record says as the reason"
    )


class PromoteOptions(MoveOptions):
    """What is done: a move, a rollback, or a look at the history."""

    rollback: bool = Field(False, description="move it to its previous holder")
    history: bool = Field(False, description="show who moved it, when, why, and how to undo it")

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        given = [self.to is not None, self.rollback, self.history]
        if sum(given) != 1:
            raise ValueError("expected exactly one of --to, --rollback and --history")
        return self


class MoveRecord(BaseModel):
    """One move of an alias, as the ledger keeps it. back: the command that undoes it."""

    model_config = ConfigDict(populate_by_name=True)

    at: str
    alias: str
    kind: str
    who: str
    why: str
    run_id: str | None
    numbers: dict[str, float]
    from_version: str | None = Field(alias="from")
    to_version: str = Field(alias="to")
    back: str | None

    def lines(self) -> Iterator[str]:
        """Yield the move with its numbers, reason and the command that undoes it."""
        when = self.at[:19].replace("T", " ")
        versions = f"version {self.from_version or '-'} -> {self.to_version}"
        yield f"{when} UTC  {versions}  {self.kind} by {self.who}"
        if self.run_id:
            yield f"    run {self.run_id}"
        if self.numbers:
            yield "    " + "  ".join(f"{name} {value:,.6g}" for name, value in self.numbers.items())
        yield f"    why: {self.why}"
        if self.back:
            yield f"    back: {self.back}"


class AliasHistory(BaseModel):
    """The moves of an alias, oldest first, and the version that holds it now."""

    status: str = "done"
    model: str
    alias: str
    holder: str | None
    moves: list[MoveRecord]

    def lines(self) -> Iterator[str]:
        """Yield the moves, the newest last, and the holder."""
        for move in self.moves:
            yield from move.lines()
        others = ""
        if self.moves and self.moves[-1].to_version != self.holder:
            others = " (moved last by other means than this)"
        yield f"{self.model}@{self.alias} points at version {self.holder or '-'}{others}"


class AliasMove(MoveRecord):
    """The alias was moved."""

    status: str = "done"
    model: str
    moved: bool = True

    def lines(self) -> Iterator[str]:
        """Yield what was moved and the command that undoes it."""
        versions = f"version {self.from_version or '-'} -> {self.to_version}"
        yield f"{self.model}@{self.alias}: {versions}"
        if self.back:
            yield f"back: {self.back}"


class AliasUnchanged(BaseModel):
    """The alias points at that version already."""

    status: str = "done"
    model: str
    alias: str
    moved: bool = False
    to: str | None

    def lines(self) -> Iterator[str]:
        """Yield that nothing was moved."""
        yield f"{self.model}@{self.alias} points at version {self.to} already"


def run(options: PromoteOptions, ui: Ui) -> AliasHistory | AliasMove | AliasUnchanged:
    """Move the alias, or show its history. Raises Mistakes; errors.AliasMoved when it was moved by others meanwhile."""
    use_registry(options.profile)
    result = history_of(options) if options.history else move(options)
    for line in result.lines():
        ui.say(line)
    return result


def history_of(options: MoveOptions) -> AliasHistory:
    """Return the moves of the alias. Raises Mistakes when the model or alias was never heard of."""
    from onerun.promotion.aliases import history

    moves, holder = history(options.model, options.alias)
    return AliasHistory(
        model=options.model,
        alias=options.alias,
        holder=holder,
        moves=[MoveRecord.model_validate(_record(options.model, each)) for each in moves],
    )


def move(options: MoveOptions) -> AliasMove | AliasUnchanged:
    """Move the alias to version `to`, or back to its previous holder without one."""
    from onerun.promotion.aliases import move_to, roll_back

    if options.to:
        done = move_to(options.model, options.alias, options.to, options.why)
    else:
        done = roll_back(options.model, options.alias, options.why)
    if done is None:
        return AliasUnchanged(model=options.model, alias=options.alias, to=options.to)
    return AliasMove.model_validate({"model": options.model, **_record(options.model, done)})


def _record(model: str, move: Move) -> dict[str, object]:
    """Return the fields of a MoveRecord."""
    back = move_command(model, move.alias, move.from_version) if move.from_version else None
    kept = move.model_dump(include={"at", "alias", "kind", "who", "why", "run_id", "numbers"})
    return {**kept, "from": move.from_version, "to": move.to_version, "back": back}


COMMAND = Command(
    name="promote",
    summary="Move the alias of a registered model by hand, on the record; or show who moved it.",
    options=PromoteOptions,
    run=run,
    examples=[
        "onerun promote --model california-housing --history",
        "onerun promote --model california-housing --rollback",
        'onerun promote --model california-housing --to 3 --why "approved in the March review"',
    ],
    notes="--rollback moves the alias to the version that held it before; a second one goes one further back.",
    exit_codes={1: "the alias could not be moved"},
    interrupted="interrupted; --history shows whether the alias moved",
)
