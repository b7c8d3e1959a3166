"""What all command lines have in common: how their help looks, and arguments that each takes."""

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def command_line(name: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Return a parser for `python -m name`; `examples` stand below the help as they are written."""
    return argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_usual(parser: argparse.ArgumentParser, profile: str) -> None:
    """Add --profile, --json and --traceback.

    Args:
        profile: what a profile decides about this command.
    """
    parser.add_argument(
        "--profile", metavar="NAME", help=f"{profile}: a profile in settings/profiles/, or a file"
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object on stdout, everything else on stderr"
    )
    parser.add_argument(
        "--traceback", action="store_true", help="show the whole traceback of a failure"
    )


def parsed(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> argparse.Namespace | None:
    """Return the parsed arguments; None when there were no arguments and the help was shown.

    Args:
        arguments: None for those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        parser.print_help()
        return None
    return parser.parse_args(arguments)


def span(text: str) -> timedelta:
    """Return the span that `90s`, `15m`, `2h` or `7d` means. Raises: argparse.ArgumentTypeError."""
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS or not number.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a span of time; write a number and s, m, h or d, such as 15m"
        )
    return timedelta(**{UNITS[unit]: int(number)})
