"""Files of a source: one file, a glob or a folder of parts; local or in S3."""

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, get_args

import pyarrow as pa

from onerun import storage
from onerun.config.mistakes import Mistake, Mistakes, did_you_mean
from onerun.config.recipe import Data

Format = Literal["csv", "tsv", "parquet", "jsonl"]
FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
COMPRESSIONS = {
    ".gz": "gzip",
    ".bz2": "bz2",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".lz4": "lz4",
    ".xz": "xz",
}


def source_mistake(message: str) -> Mistakes:
    """Return an exception about data.source, to be raised."""
    return Mistakes([Mistake("data.source", message)])


def find_files(source: str) -> list[str]:
    """Return the files in order of their names, at least one.

    Raises:
        Mistakes: No file is found.
    """
    if storage.is_s3(source):
        found = _find_in_s3(source)
    else:
        found = _find_locally(Path(source).expanduser())
    files = [name for name in found if not name.rpartition("/")[2].startswith((".", "_"))]
    if not files:
        problem = "no file matches" if glob.has_magic(source) else "the folder holds no file"
        raise source_mistake(f"{source}: {problem}")
    return files


def _find_locally(path: Path) -> list[str]:
    if path.is_file():
        return [str(path)]
    if path.is_dir():
        return sorted(str(found) for found in path.rglob("*") if found.is_file())
    if glob.has_magic(str(path)):
        matches = glob.glob(str(path), recursive=True)  # noqa: PTH207 (** and absolute patterns)
        return sorted(name for name in matches if Path(name).is_file())
    if not path.parent.is_dir():
        raise source_mistake(f"{path}: no such file, and no such folder as {path.parent}")
    near = did_you_mean(path.name, [found.name for found in path.parent.iterdir()])
    raise source_mistake(f"{path}: no such file{near}")


def _find_in_s3(uri: str) -> list[str]:
    def find() -> list[str]:
        system = storage.filesystem(uri)
        if glob.has_magic(uri):
            return sorted(f"s3://{name}" for name in system.glob(uri))
        if system.isfile(uri):
            return [uri]
        below = sorted(f"s3://{name}" for name in system.find(uri))
        if not below:
            raise _missing_in_s3(uri)
        return below

    return storage.with_retry(uri, find)


def _missing_in_s3(uri: str) -> Mistakes:
    folder, _, name = uri.rpartition("/")
    near = [found.rpartition("/")[2] for found in storage.filesystem(uri).ls(folder, detail=False)]
    return source_mistake(f"{uri}: no such object{did_you_mean(name, near)}")


def file_format(files: list[str], data: Data) -> Format:
    """Return the one format of all files, from `data.format` or their names.

    Raises:
        Mistakes: It is unknown, or the files have several.
    """
    if data.format is not None:
        return data.format
    formats: set[Format] = set()
    for name in files:
        found = _format_of_name(name)
        if found is None:
            raise _format_mistake(f"cannot tell the format of {name}")
        formats.add(found)
    if len(formats) > 1:
        raise _format_mistake(f"files of several formats ({', '.join(sorted(formats))})")
    return formats.pop()


def _format_mistake(problem: str) -> Mistakes:
    return source_mistake(f"{problem}; set data.format to one of {', '.join(get_args(Format))}")


def _format_of_name(name: str) -> Format | None:
    name = name.lower()
    ending = PurePosixPath(name).suffix
    if ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    return FORMATS.get(PurePosixPath(name).suffix)


@contextmanager
def open_stream(name: str) -> Iterator[Any]:
    """Yield the decompressed bytes of a file as a pyarrow stream."""
    compression = COMPRESSIONS.get(PurePosixPath(name.lower()).suffix)
    with storage.open_input(name) as raw:
        if compression == "xz":
            import lzma

            with lzma.open(raw) as plain:
                yield pa.PythonFile(plain, mode="r")
        else:
            file: IO[bytes] | pa.NativeFile = raw
            if not storage.is_s3(name):
                file = pa.OSFile(name)
            yield pa.input_stream(file, compression=compression)
