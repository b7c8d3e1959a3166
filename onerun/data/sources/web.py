"""Downloads of http(s):// addresses to a temporary file, since a table may have to be read more
than once.
"""

import base64
import http.client
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from onerun import progress
from onerun.config.addresses import redact
from onerun.config.recipe import Data
from onerun.data.sources.addresses import fill_variables
from onerun.data.sources.files import source_mistake
from onerun.domain.errors import DataError, StoreUnreachable

CHUNK = 2**20
ANSWER_SECONDS = 15


@contextmanager
def downloaded(data: Data) -> Iterator[Data]:
    """Yield the data with its source on this machine while the block lasts; other sources stay as
    they are.

    Raises:
        Mistakes: The address does not answer, or refuses.
        StoreUnreachable: The download breaks off.
    """
    if not data.source.startswith(("http://", "https://")):
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="onerun-") as folder:
        name = Path(unquote(urlsplit(data.source).path)).name or "table"
        target = Path(folder, name)
        _download(fill_variables(data.source), target)
        try:
            yield data.model_copy(update={"source": str(target)})
        except DataError as error:
            raise DataError(str(error).replace(str(target), redact(data.source))) from error


def _download(address: str, target: Path) -> None:
    with _answer(address) as answer, target.open("wb") as file:
        total = int(answer.headers.get("Content-Length") or 0) or None
        try:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                progress.report("bytes downloaded", file.tell(), total)
        except (OSError, http.client.HTTPException) as error:
            raise StoreUnreachable(
                f"{redact(address)}: the download broke off ({error!r}); run again"
            ) from error
        if total is not None and file.tell() < total:
            raise StoreUnreachable(
                f"{redact(address)}: {file.tell():,} of {total:,} bytes arrived; run again"
            )


def _answer(address: str) -> Any:
    parts = urlsplit(address)
    request = urllib.request.Request(address.replace(f"{parts.username}:{parts.password}@", "", 1))
    if parts.username is not None:
        pair = base64.b64encode(
            f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        ).decode()
        request.add_unredirected_header("Authorization", f"Basic {pair}")
    try:
        return urllib.request.urlopen(request, timeout=ANSWER_SECONDS)
    except urllib.error.HTTPError as error:
        what = {
            401: "wants credentials (https://user:password@host/...)",
            403: "refuses access",
            404: "has no such file",
        }
        answer = f"{what.get(error.code, 'answers')} ({error.code} {error.reason})"
        raise source_mistake(f"{redact(address)}: the server {answer}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise source_mistake(
            f"{redact(address)}: {parts.hostname} does not answer ({reason}); look at the address"
        ) from None
