"""Buckets, and what the minio client does better than s3fs: lists page by page, large files in parts, life cycles."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.storage.access import bucket_and_key, filesystem, minio
from tasks.storage.words import explained

if TYPE_CHECKING:
    from minio import Minio


def need_bucket(uri: str) -> bool:
    """Makes the bucket of an s3:// address where there is none. Returns: whether it was missing."""
    bucket = bucket_and_key(uri)[0]
    with explained(uri):
        if filesystem(uri).exists(bucket):
            return False
        filesystem(uri).mkdir(bucket)
        return True


def list_objects(root: str) -> Iterator[tuple[str, int]]:
    """Yields: address and size of every object below the s3:// address, in order, a page at a time."""
    bucket, key = bucket_and_key(root)
    with explained(root):
        for found in minio().list_objects(bucket, prefix=f"{key}/" if key else "", recursive=True):
            if not found.object_name.endswith("/"):  # what consoles write to show an empty folder
                yield f"s3://{bucket}/{found.object_name}", int(found.size)


def make_bucket(uri: str, expire_days: int) -> list[str]:
    """Makes the bucket of `uri` where there is none, keeping what is overwritten or deleted for `expire_days`.

    A bucket that is there is somebody's: it stays as it is.

    Returns: in words, what could not be had.
    """
    bucket = bucket_and_key(uri)[0]
    client = minio()
    with explained(uri):
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)
            return _keep_versions(client, bucket, expire_days)
        if client.get_bucket_versioning(bucket).status != "Enabled":
            return [f"bucket {bucket} keeps no versions: what is deleted there is gone at once"]
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
    refused = []
    wishes: dict[str, Callable[[], Any]] = {
        "versions": lambda: client.set_bucket_versioning(bucket, VersioningConfig(ENABLED)),
        "a life cycle": lambda: client.set_bucket_lifecycle(bucket, LifecycleConfig([rule])),
    }
    for what, do in wishes.items():
        try:
            do()
        except S3Error as error:  # a key may be allowed to write objects and no more
            refused.append(f"bucket {bucket} was made, but {what} could not be set up ({error.code})")
    return refused


def upload(local: Path, uri: str) -> None:
    """Copies a local file of any size to an s3:// address, in parts, whole or not at all."""
    bucket, key = bucket_and_key(uri)
    with explained(uri):
        minio().fput_object(bucket, key, str(local))
