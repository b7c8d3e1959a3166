"""What a person sees: plain lines into a file, a bar on a terminal."""

import io

import pytest

from onerun.commands import terminal
from onerun.commands.outcome import metrics_table, number
from onerun.commands.terminal import Terminal
from onerun.engine.events import StageEvent, StageState


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_into_a_file_go_plain_lines() -> None:
    out = io.StringIO()
    show = Terminal(out).show
    show(StageEvent("train", StageState.STARTED))
    show(StageEvent("train", StageState.PROGRESSED, summary="rounds", done=10, total=200))
    show(StageEvent("train", StageState.FINISHED, seconds=1.26, summary="on 100 rows"))
    show(StageEvent("ingest", StageState.REUSED, summary="100 rows"))
    assert out.getvalue() == "  train        1.3 s  on 100 rows\n  ingest      kept    100 rows\n"


def test_a_terminal_shows_a_bar_that_the_result_replaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "EVERY", 0.0)
    out = Screen()
    show = Terminal(out).show
    show(StageEvent("train", StageState.STARTED))
    show(StageEvent("train", StageState.PROGRESSED, summary="rounds", done=50, total=200))
    show(StageEvent("train", StageState.FINISHED, seconds=1.0, summary="done"))
    drawn = out.getvalue()
    assert "██████·····" in drawn and "rounds: 50 of 200" in drawn
    assert drawn.endswith("\r\x1b[2K  train        1.0 s  done\n")


def test_the_table_says_who_is_better_by_the_metric_s_direction() -> None:
    lines = metrics_table(
        {"rmse": 90.0, "r2": 0.9},
        {"baseline": {"rmse": 200.0}, "champion": {"rmse": 100.0, "r2": 0.8}},
    )
    assert lines[1].endswith("-10.0% better") and lines[2].endswith("+0.1000 better")
    assert [number(value) for value in (None, 0.123456, 46_800.4)] == ["-", "0.1235", "46,800"]
