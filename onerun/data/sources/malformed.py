"""What is wrong with a delimited file: the row and the bytes, in words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from onerun.data.sources.files import opened_stream
from onerun.domain.errors import DataError

CHUNK = 2**20


@contextmanager
def explained(file: str) -> Iterator[None]:
    """Within the block, what Arrow says about a malformed file becomes a DataError; values that do not fit pass."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: {_not_utf8(file)}") from error
    except pa.ArrowInvalid as error:
        if "conversion error" in str(error) and "UTF8" not in str(error):
            raise
        raise DataError(f"{file}: {_in_words(file, str(error))}") from error
    except PermissionError:
        raise
    except (OSError, EOFError) as error:
        raise DataError(
            f"{file}: cannot be read to its end ({error}); is it cut off or not compressed as named?"
        ) from error


def _in_words(file: str, message: str) -> str:
    if "Empty CSV" in message:
        return "the file is empty"
    if "straddling object" in message:  # Arrow's word for a row that does not end within a block
        return "a row is longer than a megabyte; is a closing quote missing, or does a cell hold a whole file?"
    if "UTF8" in message or "UTF-8" in message:
        return _not_utf8(file)
    ragged = re.search(
        r"CSV parse error:.*?Expected (\d+) columns, got (\d+)(?:: (.*))?", message, re.DOTALL
    )
    if ragged:
        return _ragged(file, *ragged.groups())
    return f"cannot be read as a table: {message.partition(chr(10))[0]}"


def _ragged(file: str, wanted: str, got: str, text: str | None) -> str:
    line = _line_of(file, text) if text else None
    where = f"line {line:,}" if line else "a row"
    return f"{where} has {got} values where the header has {wanted} columns: {(text or '').strip()[:200]!r}"


def _line_of(file: str, text: str) -> int | None:
    """Returns: the line (from 1) that begins with `text`, read again: only after an error."""
    wanted = text.encode().splitlines()[0] if text.strip() else b""
    for number, line in enumerate(_lines(file), start=1):
        if wanted and line.rstrip(b"\r\n") == wanted:
            return number
    return None


def _not_utf8(file: str) -> str:
    with opened_stream(file) as stream:
        if stream.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return "the text is UTF-16, not UTF-8; convert the file, for example: iconv -f utf-16 -t utf-8"
    for number, line in enumerate(_lines(file), start=1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            byte = line[error.start]
            return (
                f"line {number:,} is not UTF-8: byte 0x{byte:02x} at its position {error.start + 1}; "
                "convert the file, for example: iconv -f latin1 -t utf-8"
            )
    return "the text is not UTF-8; convert the file, for example: iconv -f latin1 -t utf-8"


def _lines(file: str) -> Iterator[bytes]:
    with opened_stream(file) as stream:
        rest = b""
        while chunk := stream.read(CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
        if rest:
            yield rest
