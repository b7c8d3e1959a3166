"""Restoring: what an archive holds, back into the store that the environment names."""

from domain.archives import Restored, Selection


def restore(
    uri: str,
    selection: Selection | None = None,
    apply: bool = False,
    artifacts: str | None = None,
    overwrite: bool = False,
) -> Restored:
    """Brings back what the store lacks; says, and leaves, what differs. Without `apply` only says.

    Args:
        artifacts: root below which the files go, when not to their original places.
        overwrite: make what differs as it is in the archive.

    Raises: ArchiveDamaged before anything is written.
    """
    raise NotImplementedError
