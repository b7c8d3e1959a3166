"""`python -m flows.metrics`: an exporter for Prometheus, which changes nothing."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flows.command_line.arguments import add_usual, command_line, span
from flows.monitoring.looks import Looker, Report
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

A scrape is answered from memory; the store is looked at in between, for at most a tenth of the
time. For a store that does not answer, onerun_up is 0, and it is looked for again.
docs/monitoring.md lists the series.
exit codes: 0 ended by SIGTERM, or done with --once, 2 a mistake, or with --once a store that does
not answer, 130 interrupted"""
# Prefect's client waits for minutes; the next look comes sooner
AT_ONCE = {"PREFECT_CLIENT_MAX_RETRIES": "0"}
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
    """Serve until asked to end, or print once. Return the exit code."""
    options = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    for variable, value in {**QUIET, **AT_ONCE}.items():
        os.environ.setdefault(variable, value)
    return exit_code(lambda: _done(options), options.json, "interrupted", options.traceback)


def _done(options: argparse.Namespace) -> dict[str, Any]:
    for name in ("every", "store_every", "window"):
        if getattr(options, name) < LEAST:
            raise Mistakes(
                [Mistake(f"--{name.replace('_', '-')}", f"expected at least {LEAST.seconds}s")]
            )
    from flows.monitoring.exposition import Exposition
    from flows.monitoring.observation import store, trainings

    # a mistake in it is reported at once; a store that does not answer is waited for
    load_profile(options.profile)
    report = Terminal(sys.stderr if options.json or options.once else sys.stdout).say
    lookers = (
        Looker(
            name="trainings",
            see=lambda: trainings(options.profile, options.window),
            every=options.every.total_seconds(),
            report=report,
        ),
        Looker(
            name="store",
            see=lambda: store(options.profile, not options.no_files),
            every=options.store_every.total_seconds(),
            report=report,
        ),
    )
    exposition = Exposition(lookers[0], lookers[1:], options.window.total_seconds())
    if options.once:
        return _once(options, lookers, exposition)
    return _serve(options, lookers, exposition, report)


def _once(
    options: argparse.Namespace, lookers: Sequence[Looker], exposition: "Exposition"
) -> dict[str, Any]:
    from prometheus_client import CollectorRegistry, generate_latest

    from flows.monitoring.exposition import as_json

    failures = [Mistake(each.name, failure) for each in lookers if (failure := each.look().failure)]
    if not options.json:
        registry = CollectorRegistry()
        registry.register(exposition)
        sys.stdout.write(generate_latest(registry).decode())
        sys.stdout.flush()
    if failures:
        raise Mistakes(failures)
    return {"status": "done", "samples": as_json(exposition.samples())}


def _serve(
    options: argparse.Namespace,
    lookers: Sequence[Looker],
    exposition: "Exposition",
    report: Report,
) -> dict[str, Any]:
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(exposition)
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    try:
        server, _ = start_http_server(options.port, options.bind, registry)
    except (OSError, OverflowError) as error:
        raise Mistakes(
            [Mistake("--port", f"{options.bind}:{options.port} cannot be listened on: {error}")]
        ) from None
    report(f"http://{options.bind}:{server.server_port}/metrics; Ctrl-C ends it")
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
