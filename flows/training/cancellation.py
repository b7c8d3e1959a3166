"""A training hears that its flow run was cancelled: a thread asks Prefect beside it.

Prefect ends a cancelled flow run only where a worker runs it. One that was started from the command
line would stay Cancelling for ever and train on, so the training looks at its own state. Where a
worker does signal the process, the thread only makes sure that the process ends: a library that
computes for minutes without returning to Python handles no signal.
"""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import Abort, TerminationSignal
from prefect.states import Cancelled

from onerun.domain import names
from onerun.processes.identity import this_process
from onerun.retry import deadline
from onerun.tracking.lifecycle import Identity, end_half_open

LOOK = 2.0  # seconds between two looks at the flow run's state
LEAST = 7.0  # seconds that a cancelled training has to end by itself
STOP = 5.0  # seconds to wait for a call that is under way when the flow ends
MESSAGE = "Flow run was cancelled."

logger = logging.getLogger("onerun")


class CancellationWatcher:
    """The thread of one flow run.

    supervised: whether a worker signals the process when the flow run is cancelled.
    """

    def __init__(self, flow_run_id: str, run_count: int, look: float = LOOK) -> None:
        self.cancelled = threading.Event()
        self.experiment = ""  # of the MLflow run, once it is known
        self._id, self._run_count, self._look = UUID(flow_run_id), run_count, look
        self._over = threading.Event()
        self.supervised = (
            os.environ.get("PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS") == "false"
        )
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._hears_signals = in_main_thread and callable(signal.getsignal(signal.SIGTERM))
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._listen,), name="onerun-cancellation", daemon=True
        )

    def start(self) -> None:
        """Look from here on."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a call under way is waited for, unless a server does not answer it."""
        self._over.set()
        self._thread.join(STOP)

    def _listen(self) -> None:
        self._try(self._sign)
        while not self._over.wait(self._look):
            self._try(self._notice)
            if self.cancelled.is_set():
                if self._hears_signals:
                    self._end_process()
                return

    def _try(self, do: Callable[[], None]) -> None:
        """Call the function and log its failure: it is tried again at the next look.

        The training's own calls report what is wrong with a server.
        """
        try:
            with deadline(0):
                do()
        # raised by clients of two libraries, and no reason to end a training
        except Exception as error:  # noqa: BLE001
            logger.debug("cancellation: %r", error)

    def _sign(self) -> None:
        """Record which process works on the flow run.

        The reconciler needs it when the process dies before it has an MLflow run.
        """
        labels: dict[str, int | float | str] = {
            names.LABEL_PROCESS: this_process().model_dump_json(),
            names.LABEL_RUN_COUNT: self._run_count,
        }
        _client().update_flow_run_labels(self._id, labels)

    def _notice(self) -> None:
        state = _client().read_flow_run(self._id).state
        if state is not None and state.type in (StateType.CANCELLING, StateType.CANCELLED):
            self.cancelled.set()

    def _end_process(self) -> None:
        """Send SIGTERM first, as a worker does; then end a process that does not react."""
        if not self.supervised:
            logger.info("cancelled at Prefect; the training ends")
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        if not self._over.wait(LEAST):
            self._try(self._give_up)
            os._exit(128 + signal.SIGTERM)

    def _give_up(self) -> None:
        if self.experiment:
            failure = f"cancelled; the training did not end within {LEAST:.0f} seconds"
            identity = Identity.of_flow_run(str(self._id))
            end_half_open(self.experiment, identity, failure)
        _set_state(self._id, Cancelled(message=MESSAGE))


@contextlib.contextmanager
def ends_when_cancelled(flow_run_id: str, run_count: int) -> Iterator[CancellationWatcher]:
    """Watch the flow run's state within the block.

    Raises: Abort when it was cancelled; its state at Prefect is then Cancelled.
    """
    watcher = CancellationWatcher(flow_run_id, run_count)
    watcher.start()
    try:
        yield watcher
    except TerminationSignal:
        watcher.stop()
        if watcher.supervised or not watcher.cancelled.is_set():
            raise  # a worker sets the state itself; or it was no cancellation
        state = _set_state(UUID(flow_run_id), Cancelled(message=MESSAGE))
        cancelled = Abort(MESSAGE)
        # the engine takes it for the flow run's last state
        cancelled.state = state  # type: ignore[attr-defined]
        raise cancelled from None
    finally:
        watcher.stop()


def _client() -> SyncPrefectClient:
    """Return the engine's own client: creating another costs more than all its requests here."""
    context = FlowRunContext.get()
    client = context.client if context else None
    return client if isinstance(client, SyncPrefectClient) else get_client(sync_client=True)


def _set_state(flow_run_id: UUID, state: "State[None]") -> "State[None]":
    _client().set_flow_run_state(flow_run_id, state, force=True)
    return state
