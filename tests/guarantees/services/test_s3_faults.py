"""S3 refuses, is slow, cuts transfers or answers with errors for less than the retry budget; its keys are wrong."""

import time

import pytest

from tests.guarantees.cells import Recovery, cell
from tests.guarantees.holding import Expected, Facts, facts, violations
from tests.guarantees.services.here import TrainingHere
from tests.guarantees.services.proxy import How, Proxy

MOMENTS = {
    "as ingest uploads its snapshot": "PUT .*table.parquet",
    "as train reads its snapshot": "GET .*table.parquet",
    "as train uploads the model": "PUT .*MLmodel",
    "as evaluate uploads its report": "PUT .*report.html",
}
UPLOADS = [moment for moment in MOMENTS if "uploads" in moment]
READS = ["as train reads its snapshot"]
FAULTS: dict[How, tuple[str, dict[str, float], list[str]]] = {
    "refuse": ("S3 refuses connections for 4 s", {"seconds": 4}, list(MOMENTS)),
    "cut the request": (
        "an upload to S3 is cut off in the middle, five times",
        {"times": 5},
        UPLOADS[:2],
    ),
    "cut the answer": ("S3's answer is cut off in the middle, five times", {"times": 5}, READS),
    "503": ("S3 answers 503, five times", {"times": 5}, ["as train uploads the model", *READS]),
    "slow": ("S3 takes and gives 20 kB/s from then on", {}, UPLOADS[:1]),
}


@pytest.mark.parametrize(
    ("how", "at"),
    [
        pytest.param(
            how,
            MOMENTS[moment],
            id=f"{how}-{moment}".replace(" ", "-"),
            marks=cell("P1 P2 P7", f"{words}, {moment}", "a training that waits", "by itself"),
        )
        for how, (words, _, moments) in FAULTS.items()
        for moment in moments
    ],
)
def test_p1_p2_a_fault_within_the_budget_costs_time(
    in_s3: TrainingHere, wanted: Facts, s3: Proxy, recovery: Recovery, how: How, at: str
) -> None:
    fault = s3.plan(how, at, **FAULTS[how][1])  # type: ignore[arg-type]
    assert in_s3.run(ONERUN_RETRY_BUDGET="60s") == 0, in_s3.said()
    recovery.seconds.append(time.monotonic() - fault.begun)
    assert fault.hits >= 1
    s3.heal()
    assert violations(in_s3, Expected(wanted, attempts=1)) == []


@cell("P1 P2 P5 P7", "S3's secret key is wrong from the start", "a FAILED run", "by a person")
def test_p5_a_wrong_key_is_a_mistake_at_once(in_s3: TrainingHere, wanted: Facts, s3: Proxy) -> None:
    assert in_s3.run(AWS_SECRET_ACCESS_KEY="wrong-pl4nted-s3cret") == 2
    assert "refuses the credentials" in in_s3.said()
    assert len(s3.requests) < 20
    in_s3.ask_to_retry()
    assert in_s3.run() == 0, in_s3.said()
    assert violations(in_s3, Expected(wanted, attempts=2)) == []


@cell(
    "P1 P2 P5 P7",
    "S3's keys are refused as train uploads the model",
    "a FAILED run, the model kept",
    "by a person",
)
def test_p5_keys_that_are_refused_later_are_a_mistake_at_once(
    in_s3: TrainingHere, wanted: Facts, s3: Proxy
) -> None:
    fault = s3.plan("forbid", "PUT .*MLmodel")
    assert in_s3.run() == 2
    assert "refuses the credentials" in in_s3.said()
    assert fault.hits == 1
    s3.heal()
    before = facts(in_s3)
    assert [run.info.status for run in before.runs] == ["FAILED"]
    in_s3.ask_to_retry()
    assert in_s3.run() == 0, in_s3.said()
    assert violations(in_s3, Expected(wanted, before, attempts=2)) == []
