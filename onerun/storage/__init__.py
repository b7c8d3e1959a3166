"""Files in local folders and in S3.

Refused credentials are a mistake, reported within seconds, and never a fallback to a local folder.
Calls to an S3 endpoint that does not answer are retried.
"""

from onerun.storage.access import bucket_and_key, endpoint, filesystem, is_s3, minio
from onerun.storage.buckets import (
    NotMovedError,
    ensure_bucket,
    list_objects,
    make_bucket,
    move_tree,
    remove_below,
    upload,
    walk,
)
from onerun.storage.errors import translated_errors, unavailable, with_retry
from onerun.storage.files import (
    PARTIAL,
    exists,
    join,
    list_files,
    open_input,
    put_file,
    read_bytes,
    remove,
    round_trip,
    size,
    write_bytes_atomically,
)

__all__ = [
    "PARTIAL",
    "NotMovedError",
    "bucket_and_key",
    "endpoint",
    "ensure_bucket",
    "exists",
    "filesystem",
    "is_s3",
    "join",
    "list_files",
    "list_objects",
    "make_bucket",
    "minio",
    "move_tree",
    "open_input",
    "put_file",
    "read_bytes",
    "remove",
    "remove_below",
    "round_trip",
    "size",
    "translated_errors",
    "unavailable",
    "upload",
    "walk",
    "with_retry",
    "write_bytes_atomically",
]
