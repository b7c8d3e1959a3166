"""When a deployment runs: `--cron` or `--interval`, in a time zone, checked first."""

import asyncio
from argparse import ArgumentTypeError
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

from flows.command_line.arguments import span
from onerun.config.mistakes import Mistake, Mistakes, did_you_mean

if TYPE_CHECKING:
    from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

FIELDS = "minute hour day month weekday, such as 0 6 * * 1 (Mondays at six)"
SLUG = "deployed"  # of the one schedule that a deployment of a recipe has
LEAST = timedelta(minutes=1)


@dataclass(frozen=True)
class Timetable:
    """A checked schedule."""

    cron: str | None
    interval: timedelta | None
    timezone: str

    def __str__(self) -> str:
        """Return it as a person reads it."""
        if self.cron is not None:
            return f'cron "{self.cron}" ({self.timezone})'
        return f"every {self.interval}"

    def schedule(self) -> "CronSchedule | IntervalSchedule":
        """Return it as Prefect takes it."""
        from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

        if self.cron is not None:
            return CronSchedule(cron=self.cron, timezone=self.timezone)
        assert self.interval is not None
        return IntervalSchedule(interval=self.interval, timezone=self.timezone)

    def next_runs(self, now: datetime, number: int = 3) -> list[datetime]:
        """Return the next times after `now`, as Prefect's scheduler finds them."""
        from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule

        schedule: CronSchedule | IntervalSchedule
        if self.cron is not None:
            schedule = CronSchedule(cron=self.cron, timezone=self.timezone)
        else:
            assert self.interval is not None
            schedule = IntervalSchedule(interval=self.interval, timezone=self.timezone)
        return list(asyncio.run(schedule.get_dates(n=number, start=now)))


def read_timetable(
    cron: str | None, interval: str | None, timezone: str | None
) -> Timetable | None:
    """Check what was asked for. Return None when neither cron nor interval was.

    Raises: Mistakes: both, a bad cron string, one that never comes, an unknown time zone.
    """
    if cron is not None and interval is not None:
        raise Mistakes([Mistake("--interval", "goes without --cron; choose one of the two")])
    if cron is None and interval is None:
        if timezone is not None:
            raise Mistakes([Mistake("--timezone", "goes with --cron or --interval")])
        return None
    zone = timezone or "UTC"
    known = available_timezones()
    if zone not in known:
        near = did_you_mean(zone, known)
        message = f"expected a name such as Europe/Berlin, got {zone!r}{near}"
        raise Mistakes([Mistake("--timezone", message)])
    timetable = Timetable(cron, _interval(interval) if interval is not None else None, zone)
    if cron is not None:
        _check_cron(timetable, cron)
    return timetable


def _interval(text: str) -> timedelta:
    try:
        every = span(text)
    except ArgumentTypeError as error:
        raise Mistakes([Mistake("--interval", str(error))]) from None
    if every < LEAST:
        raise Mistakes([Mistake("--interval", "expected a minute or more, such as 6h or 1d")])
    return every


def _check_cron(timetable: Timetable, cron: str) -> None:
    fields = len(cron.split())
    if not cron.startswith("@") and fields != 5:
        message = f"expected five fields ({FIELDS}), got {fields} in {cron!r}"
        raise Mistakes([Mistake("--cron", message)])
    try:
        timetable.schedule()
    except ValueError:  # pydantic's; its words name no field
        message = f"{cron!r} is not a cron string; expected {FIELDS}"
        raise Mistakes([Mistake("--cron", message)]) from None
    try:
        comes = bool(timetable.next_runs(datetime.now(UTC), number=1))
    except ValueError:
        comes = False
    if not comes:
        raise Mistakes([Mistake("--cron", f"{cron!r} never comes")])
