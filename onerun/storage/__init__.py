"""The door to files: local folders and S3.

Wrong keys are a mistake, told within seconds, and never a fallback to something local (P7). An S3 that is silent is
waited for.
"""

from onerun.storage.access import bucket_and_key, endpoint, filesystem, is_s3, minio
from onerun.storage.buckets import (
    NotMovedError,
    list_objects,
    make_bucket,
    move_tree,
    need_bucket,
    remove_below,
    upload,
    walk,
)
from onerun.storage.files import (
    PARTIAL,
    exists,
    join,
    listed,
    open_input,
    put_file,
    read_bytes,
    remove,
    round_trip,
    size,
    write_bytes_atomically,
)
from onerun.storage.words import answered, explained, silence

__all__ = [
    "PARTIAL",
    "NotMovedError",
    "answered",
    "bucket_and_key",
    "endpoint",
    "exists",
    "explained",
    "filesystem",
    "is_s3",
    "join",
    "list_objects",
    "listed",
    "make_bucket",
    "minio",
    "move_tree",
    "need_bucket",
    "open_input",
    "put_file",
    "read_bytes",
    "remove",
    "remove_below",
    "round_trip",
    "silence",
    "size",
    "upload",
    "walk",
    "write_bytes_atomically",
]
