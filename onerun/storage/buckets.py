"""Buckets, and what the minio client does better than s3fs: paged listings, multipart uploads, life
cycles.
"""

import errno
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onerun.storage.access import bucket_and_key, filesystem, minio
from onerun.storage.errors import translated_errors

if TYPE_CHECKING:
    from minio import Minio


def ensure_bucket(uri: str) -> bool:
    """Make the bucket of an s3:// address if it does not exist. Returns whether it was missing."""
    bucket = bucket_and_key(uri)[0]
    with translated_errors(uri):
        if filesystem(uri).exists(bucket):
            return False
        filesystem(uri).mkdir(bucket)
        return True


def list_objects(root: str) -> Iterator[tuple[str, int]]:
    """Yield address and size of every object below the s3:// address, in order, a page at a
    time.
    """
    bucket = bucket_and_key(root)[0]
    with translated_errors(root):
        for found in _below(root):
            if not found.object_name.endswith("/"):  # what consoles write to show an empty folder
                yield f"s3://{bucket}/{found.object_name}", int(found.size)


def walk(uri: str) -> Iterator[tuple[str, int, int | None]]:
    """Yield path below `uri`, bytes and last change (milliseconds since 1970) of every object, page
    by page.
    """
    root = bucket_and_key(uri)[1]
    with translated_errors(uri):
        for found in _below(uri, missing_ok=True):
            changed = found.last_modified
            path = found.object_name[len(root) :].lstrip("/")
            yield path, int(found.size or 0), changed and int(changed.timestamp() * 1000)


def remove_below(uri: str, paths: Iterable[str]) -> None:
    """Remove these objects below `uri`, a thousand at a time; a missing one is not an error."""
    key = bucket_and_key(uri)[1]
    with translated_errors(uri):
        _remove(uri, (f"{key}/{path}" if key else path for path in paths))


class NotMovedError(Exception):
    """Another object has the target's name, or a source object changed meanwhile. Nothing was
    removed.
    """


def move_tree(source: str, target: str) -> None:
    """Move every object below `source` to the same path below `target`, in the same bucket; the
    server copies them.

    All are copied before one is removed, so an interrupted move can be repeated. Only copied
    objects are removed.

    Raises:
        NotMovedError: A target holds something else, or a source changed.
    """
    from minio.commonconfig import ComposeSource

    client, (bucket, old), new = minio(), bucket_and_key(source), bucket_and_key(target)[1]
    with translated_errors(source):
        existing, found = _fingerprints(target), _fingerprints(source)
        for name, fingerprint in found.items():
            copy = f"{new}{name[len(old) :]}"
            if existing.get(copy, fingerprint) != fingerprint:
                raise NotMovedError(f"s3://{bucket}/{copy} holds something else")
            if copy not in existing:
                client.compose_object(bucket, copy, [ComposeSource(bucket, name)])
        if _fingerprints(source) != found:
            raise NotMovedError("it was changed while it was copied")
        _remove(source, found)


def _fingerprints(uri: str) -> dict[str, tuple[str, int]]:
    """Return object name -> (ETag, size)."""
    return {found.object_name: (found.etag, found.size) for found in _below(uri)}


def _below(uri: str, missing_ok: bool = False) -> Iterator[Any]:
    from minio.error import S3Error

    bucket, key = bucket_and_key(uri)
    try:
        prefix = f"{key}/" if key else ""
        yield from minio().list_objects(bucket, prefix=prefix, recursive=True)
    except S3Error as error:
        if not missing_ok or error.code != "NoSuchBucket":
            raise


def _remove(uri: str, names: Iterable[str]) -> None:
    """Remove objects by their exact names: s3fs takes brackets and stars for patterns."""
    from minio.deleteobjects import DeleteObject

    bucket = bucket_and_key(uri)[0]
    for error in minio().remove_objects(bucket, map(DeleteObject, names)):
        raise PermissionError(
            errno.EACCES, error.message or error.code, f"s3://{bucket}/{error.name}"
        )


def make_bucket(uri: str, expire_days: int) -> list[str]:
    """Make the bucket of `uri` if it does not exist; it keeps overwritten and deleted objects for
    `expire_days`.

    An existing bucket stays as it is. Returns one warning for each property that the bucket does
    not have.
    """
    bucket = bucket_and_key(uri)[0]
    client = minio()
    with translated_errors(uri):
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)
            return _keep_versions(client, bucket, expire_days)
        if client.get_bucket_versioning(bucket).status != "Enabled":
            return [f"bucket {bucket} keeps no versions: deleted objects cannot be recovered"]
    return []


def _keep_versions(client: "Minio", bucket: str, days: int) -> list[str]:
    from minio.commonconfig import ENABLED, Filter
    from minio.error import S3Error
    from minio.lifecycleconfig import (
        AbortIncompleteMultipartUpload,
        Expiration,
        LifecycleConfig,
        NoncurrentVersionExpiration,
        Rule,
    )
    from minio.versioningconfig import VersioningConfig

    rule = Rule(
        ENABLED,
        rule_filter=Filter(prefix=""),
        rule_id="onerun",
        expiration=Expiration(expired_object_delete_marker=True),
        noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=days),
        abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(days_after_initiation=7),
    )
    warnings = []
    steps: dict[str, Callable[[], Any]] = {
        "versions": lambda: client.set_bucket_versioning(bucket, VersioningConfig(ENABLED)),
        "a life cycle": lambda: client.set_bucket_lifecycle(bucket, LifecycleConfig([rule])),
    }
    for what, step in steps.items():
        try:
            step()
        except S3Error as error:  # a key may be allowed to write objects and no more
            warnings.append(
                f"bucket {bucket} was made, but {what} could not be set up ({error.code})"
            )
    return warnings


def upload(local: Path, uri: str) -> None:
    """Copy a local file of any size to an s3:// address, in parts, whole or not at all."""
    bucket, key = bucket_and_key(uri)
    with translated_errors(uri):
        minio().fput_object(bucket, key, str(local))
