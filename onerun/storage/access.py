"""Clients of S3: the only place that imports s3fs and minio. Endpoint and keys come from the
standard variables.
"""

import os
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from minio import Minio

CONNECT_SECONDS = 5
READ_SECONDS = 30


def is_s3(uri: str) -> bool:
    """Return whether `uri` lies in an object store."""
    return uri.startswith("s3://")


def endpoint() -> str | None:
    """Return the S3 endpoint that the environment names; None means Amazon's own."""
    for name in ("MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if os.environ.get(name):
            return os.environ[name]
    return None


def filesystem(uri: str) -> "AbstractFileSystem":
    """Return the file system of `uri`, local or S3; one per endpoint and keys."""
    if is_s3(uri):
        key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        return _s3(endpoint(), key, secret)
    from fsspec.implementations.local import LocalFileSystem

    return LocalFileSystem()


@cache
def _s3(endpoint_url: str | None, key: str | None, secret: str | None) -> "AbstractFileSystem":
    from s3fs import S3FileSystem

    S3FileSystem.retries = 1  # its own loop counts tries; ours counts seconds
    return S3FileSystem(
        key=key,
        secret=secret,
        token=os.environ.get("AWS_SESSION_TOKEN"),
        endpoint_url=endpoint_url,
        skip_instance_cache=True,
        use_listings_cache=False,  # others write while we read
        config_kwargs={
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "retries": {"total_max_attempts": 2, "mode": "standard"},
        },
    )


def minio() -> "Minio":
    """Return a client for what s3fs does not do: listing page by page, buckets, versions, life
    cycles.
    """
    import urllib3
    from minio import Minio

    named = endpoint() or "https://s3.amazonaws.com"
    return Minio(
        named.partition("://")[2].rstrip("/"),
        access_key=os.environ.get("AWS_ACCESS_KEY_ID"),
        secret_key=os.environ.get("AWS_SECRET_ACCESS_KEY"),
        session_token=os.environ.get("AWS_SESSION_TOKEN"),
        secure=named.startswith("https"),
        region=os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION"),
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=urllib3.Retry(2, redirect=0),
        ),
    )


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Return the two parts of an s3:// address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key.rstrip("/")
