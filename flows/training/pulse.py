"""A flow that works says so, and hears when it is cancelled: two threads beside the training.

Prefect ends a cancelled flow run only where a worker runs it. One that was started from the command line would read
Cancelling for ever and train on, so its own pulse looks at its state. Where a worker does signal the process, the pulse
only sees to it that it ends: a library that computes for minutes without coming back to Python hears no signal.
"""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import Abort, TerminationSignal
from prefect.states import Cancelled

from onerun.domain import names
from onerun.domain.reconcile.seen import BEAT
from onerun.processes.identity import this_process
from onerun.retry import limited_to
from onerun.tracking import heart
from onerun.tracking.ownership import end_run

LOOK = 2.0  # seconds between two looks at the flow run's state
LEAST = 7.0  # seconds that a cancelled training has to end by itself
STOP = 5.0  # seconds to wait for a call that is under way when the flow ends
WORDS = "Flow run was cancelled."

logger = logging.getLogger("onerun")


class Pulse:
    """The threads of one flow run."""

    def __init__(
        self, flow_run_id: str, run_count: int, look: float = LOOK, every: timedelta = BEAT
    ) -> None:
        self.cancelled = threading.Event()
        self._id, self._run_count = UUID(flow_run_id), run_count
        self._look, self._every = look, every.total_seconds()
        self._over, self._alone = threading.Event(), threading.Lock()
        self._run_id: str | None = None
        self.supervised = (
            os.environ.get("PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS") == "false"
        )
        self._hears = threading.current_thread() is threading.main_thread() and callable(
            signal.getsignal(signal.SIGTERM)
        )
        # Two, so that an MLflow server that keeps a beat waiting does not keep a cancellation waiting.
        self._threads = [
            threading.Thread(
                target=copy_context().run, args=(do,), name=f"onerun-{name}", daemon=True
            )
            for name, do in (("pulse", self._listen), ("heart", self._beat_on))
        ]

    def start(self) -> None:
        """From here on."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No call of the threads' is under way any more, unless a server keeps it waiting."""
        self._over.set()
        for thread in self._threads:
            thread.join(STOP)

    @contextlib.contextmanager
    def of(self, run_id: str) -> Iterator[None]:
        """Within the block the run has a heartbeat; it stops before the owner ends the run."""
        self._run_id = run_id
        try:
            yield
        finally:
            self._run_id = None
            if self._alone.acquire(
                timeout=STOP
            ):  # a beat under way could open the run that is about to be ended
                self._alone.release()

    def _listen(self) -> None:
        self._try(self._sign)
        while not self._over.wait(self._look):
            self._try(self._notice)
            if self.cancelled.is_set():
                return self._see_to_it() if self._hears else None
        return None

    def _beat_on(self) -> None:
        while not self._over.wait(self._every):
            self._try(self._beat)

    def _try(self, do: Callable[[], None]) -> None:
        """A pulse that cannot reach a server goes on; the training's own calls tell what is wrong."""
        try:
            with limited_to(0):  # it beats again soon
                do()
        except Exception as error:  # noqa: BLE001  # of two libraries' clients, and none of them is the training's business
            logger.debug("pulse: %r", error)

    def _sign(self) -> None:
        """Which process works on the flow run: for the reconciler, should it die before it has an MLflow run."""
        labels: dict[str, int | float | str] = {
            names.LABEL_PROCESS: this_process().model_dump_json()
        }
        _client().update_flow_run_labels(
            self._id, labels | {names.LABEL_RUN_COUNT: self._run_count}
        )

    def _notice(self) -> None:
        state = _client().read_flow_run(self._id).state
        if state is not None and state.type in (StateType.CANCELLING, StateType.CANCELLED):
            self.cancelled.set()

    def _beat(self) -> None:
        with self._alone:
            run_id = self._run_id
            if run_id and heart.beat(run_id) != "RUNNING" and self._run_id == run_id:
                heart.reopen(run_id)

    def _see_to_it(self) -> None:
        """Ask first, as a worker does; then end what does not hear."""
        if not self.supervised:
            logger.info("cancelled at Prefect; the training ends")
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        if not self._over.wait(LEAST):
            self._try(self._give_up)
            os._exit(128 + signal.SIGTERM)

    def _give_up(self) -> None:
        if self._run_id:
            end_run(
                self._run_id,
                "KILLED",
                f"cancelled; the training did not end within {LEAST:.0f} seconds",
            )
        _set(self._id, Cancelled(message=WORDS))


@contextlib.contextmanager
def pulse(flow_run_id: str, run_count: int) -> Iterator[Pulse]:
    """Within the block the flow run has a pulse. Raises: Abort when it was cancelled, with Prefect told so."""
    beating = Pulse(flow_run_id, run_count)
    beating.start()
    try:
        yield beating
    except TerminationSignal:
        beating.stop()
        if beating.supervised or not beating.cancelled.is_set():
            raise  # a worker says itself what became of it; or it was no cancellation
        state = _set(UUID(flow_run_id), Cancelled(message=WORDS))
        cancelled = Abort(WORDS)
        cancelled.state = state  # type: ignore[attr-defined]  # the engine takes it for the flow run's last state
        raise cancelled from None
    finally:
        beating.stop()


def _client() -> SyncPrefectClient:
    """The engine's own: making another costs a training more than all that is asked with it."""
    context = FlowRunContext.get()
    client = context.client if context else None
    return client if isinstance(client, SyncPrefectClient) else get_client(sync_client=True)


def _set(flow_run_id: UUID, state: "State[None]") -> "State[None]":
    _client().set_flow_run_state(flow_run_id, state, force=True)
    return state
