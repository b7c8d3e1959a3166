"""What reaches a chat: the result before everything else, cut between two lines, and never an address."""

from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.messages import finding_lines, message_lines, plan_lines, result_lines
from onerun.domain.cleanup.plan import Item, Plan, Skipped
from onerun.domain.cleanup.reason import Reason, ReasonKind
from onerun.domain.cleanup.result import Result
from onerun.notify import LONGEST, cut, notify


def large() -> tuple[Plan, list[Finding], Result]:
    plan, findings = Plan("weekly", "hard_delete", 0), []
    for number in range(12):
        name = f"an-experiment-with-a-name-{number}"
        plan.add_group(name, 1000)
        plan.add(Item("run", f"{number:032x}", "r", "1", name, "FINISHED 100 days ago", 10_000))
        plan.add_skipped(
            Skipped(
                f"{number + 100:032x}", name, "FINISHED 100 days ago", Reason(ReasonKind.TAG, "pin")
            )
        )
        findings.append(
            Finding(
                "prefix-without-owner",
                f"/srv/artifacts/{number}/{'a' * 32}",
                7,
                0,
                "nobody knows it",
            )
        )
    left = {f"{number:032x}": Reason(ReasonKind.TAG, "pin") for number in range(12)}
    notes = [
        f"/srv/mlruns/models/m-{'b' * 32} lies outside; it was left {number}"
        for number in range(12)
    ]
    return (
        plan,
        findings,
        Result(12, 1, 120_000, left, 12, archive="/srv/backups/weekly-1.tar.gz", notes=notes),
    )


def test_the_result_comes_first_and_what_it_comes_to_is_never_cut() -> None:
    plan, findings, result = large()
    message = "\n".join(message_lines(plan, findings, result))
    assert len(message) > LONGEST
    sent = cut(message)
    assert len(sent) <= LONGEST
    assert sent.startswith("done: 12 runs deleted for good, 120 kB")
    for words in ("archive /srv/backups/weekly-1.tar.gz", "skipped, because something changed since the plan: 12",
                  "plan of weekly: 12 of 12,000 runs", "found: 12 troubles", "it was left 9"):  # fmt: skip
        assert words in sent
    *lines, more = sent.split("\n")
    assert set(lines) <= set(message.split("\n"))
    assert more == f"... and {message.count(chr(10)) + 1 - len(lines):,} more lines"


def test_it_holds_every_line_that_a_terminal_shows() -> None:
    plan, findings, result = large()
    shown = [
        *plan_lines(plan),
        *finding_lines(findings, 0),
        *result_lines(plan.action, result),
    ]
    assert sorted(message_lines(plan, findings, result)) == sorted(shown)
    assert sorted(message_lines(plan, findings, None)) == sorted(
        [*plan_lines(plan), *finding_lines(findings, 0)]
    )


def test_a_single_long_line_is_cut_too() -> None:
    assert len(cut("x" * 5000)) <= LONGEST
    assert cut("short\nand whole") == "short\nand whole"


def test_nobody_to_tell_is_no_work() -> None:
    assert notify((), "title", "body") == []
