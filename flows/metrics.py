"""`python -m flows.metrics`: an exporter for Prometheus. Runs beside everything else and changes nothing."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flows.command_line.arguments import add_usual, command_line, span
from flows.monitoring.looks import Looker, Say
from onerun.commands.exit import exit_code
from onerun.commands.terminal import QUIET, Terminal
from onerun.config.mistakes import Mistake, Mistakes
from settings.profile import load_profile

if TYPE_CHECKING:
    from flows.monitoring.exposition import Exposition

EXAMPLE = """example:
  python -m flows.metrics --profile stack
  python -m flows.metrics --once --no-files
  python -m flows.metrics --bind 0.0.0.0 --port 9750 --every 5m --window 7d

A scrape is answered from memory; the store is looked at in between, for at most a tenth of the time. A store that does
not answer is told by onerun_up 0, and looked for again. docs/monitoring.md lists the series.
exit codes: 0 ended by SIGTERM, or done with --once, 2 a mistake, or with --once a store that does not answer,
130 interrupted"""
AT_ONCE = {
    "PREFECT_CLIENT_MAX_RETRIES": "0"
}  # Prefect's client waits for minutes; the next look comes sooner
LEAST = timedelta(seconds=5)


def parser() -> argparse.ArgumentParser:
    """Return the arguments of `python -m flows.metrics`."""
    parser = command_line(
        "flows.metrics", "What Prometheus scrapes: trainings, gates, champions, orphans.", EXAMPLE
    )
    parser.add_argument(
        "--port", metavar="N", type=int, default=9750, help="where it listens (9750); 0: a free one"
    )
    parser.add_argument(
        "--bind", metavar="ADDRESS", default="127.0.0.1", help="and at which address (127.0.0.1)"
    )
    parser.add_argument(
        "--every", metavar="SPAN", type=span, default="60s", help="between looks at trainings (60s)"
    )
    parser.add_argument(
        "--store-every", metavar="SPAN", type=span, default="1h", help="at all of the store (1h)"
    )
    parser.add_argument(
        "--window", metavar="SPAN", type=span, default="1d", help="how long ago is recent (1d)"
    )
    parser.add_argument(
        "--no-files", action="store_true", help="do not look at artifacts: no bytes, fewer troubles"
    )
    parser.add_argument("--once", action="store_true", help="print what would be scraped, and end")
    add_usual(parser, "which MLflow and Prefect")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until asked to end, or print once. Returns: the exit code."""
    asked = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    for variable, value in {**QUIET, **AT_ONCE}.items():
        os.environ.setdefault(variable, value)
    return exit_code(lambda: _done(asked), asked.json, "interrupted", asked.traceback)


def _done(asked: argparse.Namespace) -> dict[str, Any]:
    for name in ("every", "store_every", "window"):
        if getattr(asked, name) < LEAST:
            raise Mistakes(
                [Mistake(f"--{name.replace('_', '-')}", f"expected at least {LEAST.seconds}s")]
            )
    from flows.monitoring.exposition import Exposition
    from flows.monitoring.observation import store, trainings

    load_profile(
        asked.profile
    )  # a mistake in it is told at once; a store that is silent is waited for
    say = Terminal(sys.stderr if asked.json or asked.once else sys.stdout).say
    lookers = (
        Looker(
            "trainings",
            lambda: trainings(asked.profile, asked.window),
            asked.every.total_seconds(),
            say,
        ),
        Looker(
            "store",
            lambda: store(asked.profile, not asked.no_files),
            asked.store_every.total_seconds(),
            say,
        ),
    )
    exposition = Exposition(lookers[0], lookers[1:], asked.window.total_seconds())
    return (
        _once(asked, lookers, exposition) if asked.once else _serve(asked, lookers, exposition, say)
    )


def _once(
    asked: argparse.Namespace, lookers: Sequence[Looker], exposition: "Exposition"
) -> dict[str, Any]:
    from prometheus_client import CollectorRegistry, generate_latest

    from flows.monitoring.exposition import as_json

    failures = [Mistake(each.name, failure) for each in lookers if (failure := each.look().failure)]
    if not asked.json:
        registry = CollectorRegistry()
        registry.register(exposition)
        sys.stdout.write(generate_latest(registry).decode())
        sys.stdout.flush()
    if failures:
        raise Mistakes(failures)
    return {"status": "done", "samples": as_json(exposition.samples())}


def _serve(
    asked: argparse.Namespace, lookers: Sequence[Looker], exposition: "Exposition", say: Say
) -> dict[str, Any]:
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(exposition)
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    try:
        server, _ = start_http_server(asked.port, asked.bind, registry)
    except (OSError, OverflowError) as error:
        raise Mistakes(
            [Mistake("--port", f"{asked.bind}:{asked.port} cannot be listened on: {error}")]
        ) from None
    say(f"http://{asked.bind}:{server.server_port}/metrics; Ctrl-C ends it")
    for each in lookers:
        threading.Thread(
            target=each.go_on, args=(over,), name=f"onerun-{each.name}", daemon=True
        ).start()
    try:
        over.wait()
    finally:
        over.set()
        server.shutdown()
        server.server_close()
    return {"status": "ended"}


if __name__ == "__main__":
    raise SystemExit(main())
