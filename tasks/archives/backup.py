"""Backing up: a selection of the store that the environment names, into one archive, whole and verified or not at all."""

from domain.archives import Archive, Selection


def back_up(selection: Selection, destination: str, label: str) -> Archive:
    """Writes the selection into one file in `destination` (a folder or s3://bucket/prefix) and reads it back.

    Raises: OnerunError or Mistakes when the archive cannot be written whole; then there is none.
    """
    raise NotImplementedError
