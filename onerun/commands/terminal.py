"""A training as a person sees it: one line per stage, a bar where it takes long, the numbers at the end."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from onerun.config.evaluation import GREATER_IS_BETTER

BAR = 24  # characters
EVERY = 0.1  # seconds between two drawings of the bar
SLOW = 10.0  # seconds between two lines of progress where no bar can be drawn
QUIET = {  # what libraries say meanwhile; whoever sets one of these hears more
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class Terminal:
    """Watches a training and prints it."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._draws = out.isatty()
        self._over = "\r\x1b[2K" if self._draws else ""  # over a bar that stands there
        self._stage = ""
        self._begun = self._drawn = time.monotonic()

    def say(self, line: str) -> None:
        """Print one line, over a bar that stands there."""
        self._write(f"{self._over}{line}\n")

    def started(self, stage: str) -> None:
        """Shows what is under way; on a terminal only, the line follows when it is done."""
        self._stage, self._begun, self._drawn = stage, time.monotonic(), time.monotonic()
        if self._draws:
            self._write(f"  {stage:<9} ...")

    def finished(self, stage: str, seconds: float, summary: str) -> None:
        """The stage's line."""
        self.say(f"  {stage:<9} {seconds:6.1f} s  {summary}")

    def reused(self, stage: str, summary: str) -> None:
        """The line of a stage that an earlier attempt had finished."""
        self.say(f"  {stage:<9}   kept    {summary}")

    def progress(self, what: str, done: float, total: float | None) -> None:
        """A bar on a terminal; elsewhere a line now and then."""
        now = time.monotonic()
        if now - self._drawn < (EVERY if self._draws else SLOW):
            return
        self._drawn = now
        counted = f"{done:,.0f} of {total:,.0f}" if total else f"{done:,.0f}"
        so_far = f"  {self._stage:<9} {now - self._begun:6.1f} s "
        if self._draws:
            filled = "█" * round((min(done / total, 1.0) if total else 0.0) * BAR)
            self._write(f"{self._over}{so_far} {filled:·<{BAR}} {what}: {counted}")
        else:
            self._write(f"{so_far} ... {what}: {counted}\n")

    def _write(self, text: str) -> None:
        """Nobody may be reading any more (`| head`); the training goes on all the same."""
        try:
            self._out.write(text)
            self._out.flush()
        except BrokenPipeError:  # what is left in the buffer would fail once more, at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())


def metrics_table(
    metrics: Mapping[str, float], others: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Returns: the lines of a table: each metric beside the others', with the change against the last of them."""
    shown = {name: values for name, values in others.items() if values}
    lines = [f"  {'':<22}{'this model':>14}" + "".join(f"{name:>14}" for name in shown)]
    for metric, value in metrics.items():
        cells = "".join(f"{number(values.get(metric)):>14}" for values in shown.values())
        lines.append(
            f"  {metric:<22}{number(value):>14}{cells}{_change(metric, value, list(shown.values()))}"
        )
    return lines


def number(value: float | None) -> str:
    """Four significant digits and thousands apart; a dash for no value."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _change(metric: str, value: float, others: Sequence[Mapping[str, float]]) -> str:
    other = others[-1].get(metric) if others else None
    if not other or value == other:
        return ""
    greater = metric in GREATER_IS_BETTER
    change = (
        f"{value - other:+.4f}" if greater else f"{(value - other) / abs(other):+.1%}"
    )  # a score; a loss
    return f"   {change} {'better' if (value > other) == greater else 'worse'}"


def outcome_lines(outcome: Mapping[str, Any], links: Mapping[str, str]) -> list[str]:
    """Returns: what is said at the end."""
    others = {"baseline": outcome["baseline_metrics"], "champion": outcome["champion_metrics"]}
    lines = ["", *metrics_table(outcome["metrics"], others), ""]
    lines += [
        f"  {'held' if gate['held'] else 'BROKEN':<7} {gate['rule']}: {gate['reason']}"
        for gate in outcome["gates"]
    ]
    verb = "moved to" if outcome["promoted"] else "stays; made"
    lines += [
        f"  {outcome['alias']} {verb} {outcome['model']} version {outcome['version']}: {outcome['reason']}",
        "",
    ]
    return lines + [f"  {name:<8} {link}" for name, link in links.items()]
