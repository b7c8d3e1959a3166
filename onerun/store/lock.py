"""One clean-up or restore of a store at a time."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from onerun.config.addresses import redact
from onerun.domain.errors import StoreUnreachable
from onerun.processes.locks import exclusive_lock


class MaintenanceUnderWay(StoreUnreachable):
    """Another clean-up or restore holds the lock."""

    @classmethod
    def of(cls, uri: str) -> "MaintenanceUnderWay":
        """Return the error for the store of a URI."""
        return cls(
            f"another clean-up or restore of {redact(uri)} is under way; run this one after it"
        )


@contextmanager
def maintenance_lock(file: Path, uri: str) -> Iterator[None]:
    """Hold the lock on a file within the block. Raises: MaintenanceUnderWay.

    Args:
        file: the file that stands for the store.
        uri: how messages name the store.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive_lock(file, wait=False))
        except BlockingIOError:
            raise MaintenanceUnderWay.of(uri) from None
        yield
