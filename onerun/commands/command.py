"""A command of the command line: its options, its examples, what it does, and how it ends."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pydantic import BaseModel

from onerun.commands.exit import code_of, stdout_for
from onerun.commands.options import AnyOptions, add_arguments, given_in, required
from onerun.commands.terminal import Terminal
from onerun.commands.ui import Ui
from onerun.process_tuning import spare_time_and_memory

AnyResult = TypeVar("AnyResult", bound=BaseModel)
EXIT_CODES = {
    0: "done",
    1: "it failed",
    2: "a mistake in what was asked; nothing was changed",
    130: "interrupted",
}


@dataclass(frozen=True)
class Command(Generic[AnyOptions, AnyResult]):
    """One command.

    name: as it is typed, such as `backup`.
    summary: one line for `onerun --help`.
    options: its options; they derive from CommonOptions, or from OutputOptions where there is no profile.
    run: does it. Its result is printed with --json as one object; without, `run` says through the Ui what a person needs.
    examples: command lines as a person types them, each beginning with `onerun NAME`.
    notes: what else its help says.
    exit_codes: what differs from EXIT_CODES.
    interrupted: what is said after Ctrl-C.
    needs_arguments: show the help where there are none, also when no option is required by itself.
    code_of: the exit code of a result.
    """

    name: str
    summary: str
    options: type[AnyOptions]
    run: Callable[[AnyOptions, Ui], AnyResult]
    examples: Sequence[str]
    notes: str = ""
    exit_codes: dict[int, str] = field(default_factory=dict)
    interrupted: str = "interrupted"
    needs_arguments: bool = False
    code_of: Callable[[AnyResult], int] = lambda _: 0

    def parser(self, program: str | None = None) -> argparse.ArgumentParser:
        """Return the parser for `program`, such as `python -m flows.backup`; `onerun NAME` when None."""
        program = program or f"onerun {self.name}"
        parser = argparse.ArgumentParser(
            prog=program,
            description=self.summary,
            epilog=self._epilog(program),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        add_arguments(parser, self.options)
        return parser

    def main(self, arguments: Sequence[str], program: str | None = None) -> int:
        """Run the command with these arguments. Return the exit code; without arguments that it needs, show its help."""
        parser = self.parser(program)
        if not arguments and (self.needs_arguments or required(self.options)):
            parser.print_help()
            return 0
        parsed = parser.parse_args(arguments)
        as_json, traceback = getattr(parsed, "as_json", False), getattr(parsed, "traceback", False)
        spare_time_and_memory()
        try:
            with stdout_for(as_json):
                options = self.options.from_arguments(given_in(parsed, self.options))
                result = self.run(options, Terminal(sys.stderr if as_json else sys.stdout))
        except BaseException as error:  # noqa: BLE001  # what is not ours to end is raised again
            return code_of(error, as_json, self.interrupted, traceback)
        if as_json:
            values = result.model_dump(mode="json", by_alias=True)
            print(json.dumps(values, ensure_ascii=False))
        return self.code_of(result)

    def parse(self, arguments: Sequence[str]) -> AnyOptions:
        """Return the checked options of a command line. Raises Mistakes."""
        parsed = self.parser().parse_args(arguments)
        return self.options.from_arguments(given_in(parsed, self.options))

    def _epilog(self, program: str) -> str:
        examples = [
            f"  {each.replace(f'onerun {self.name}', program, 1)}" for each in self.examples
        ]
        codes = {**EXIT_CODES, **self.exit_codes}
        parts = ["\n".join(["examples:", *examples])]
        if self.notes:
            parts.append(self.notes)
        parts.append("exit codes: " + "; ".join(f"{code} {text}" for code, text in codes.items()))
        return "\n\n".join(parts)
