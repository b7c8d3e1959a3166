"""Which files a source names: one file, a glob, a folder of parts; local, S3 or http."""

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
    """Returns: a mistake in data.source, to be raised."""
    return Mistakes([Mistake("data.source", message)])


def find_files(source: str) -> list[str]:
    """Returns: the files in order of their names, at least one. Raises: Mistakes when there is none."""
    found = (
        _located_s3(source)
        if storage.is_s3(source)
        else _located_locally(Path(source).expanduser())
    )
    files = [name for name in found if not name.rpartition("/")[2].startswith((".", "_"))]
    if not files:
        raise source_mistake(
            f"{source}: {'no file matches' if glob.has_magic(source) else 'the folder holds no file'}"
        )
    return files


def _located_locally(path: Path) -> list[str]:
    if path.is_file():
        return [str(path)]
    if path.is_dir():
        return sorted(str(found) for found in path.rglob("*") if found.is_file())
    if glob.has_magic(str(path)):
        return sorted(name for name in glob.glob(str(path), recursive=True) if Path(name).is_file())  # noqa: PTH207 (** and absolute patterns)
    if not path.parent.is_dir():
        raise source_mistake(f"{path}: no such file, and no such folder as {path.parent}")
    near = did_you_mean(path.name, [found.name for found in path.parent.iterdir()])
    raise source_mistake(f"{path}: no such file{near}")


def _located_s3(uri: str) -> list[str]:
    def asked() -> list[str]:
        system = storage.filesystem(uri)
        if glob.has_magic(uri):
            return sorted(f"s3://{name}" for name in system.glob(uri))
        if system.isfile(uri):
            return [uri]
        return sorted(f"s3://{name}" for name in system.find(uri)) or _absent_in_s3(uri)

    return storage.with_retry(uri, asked)


def _absent_in_s3(uri: str) -> list[str]:
    folder, _, name = uri.rpartition("/")
    near = [found.rpartition("/")[2] for found in storage.filesystem(uri).ls(folder, detail=False)]
    raise source_mistake(f"{uri}: no such object{did_you_mean(name, near)}")


def file_format(files: list[str], data: Data) -> Format:
    """Returns: the one format of all files, from `data.format` or their names. Raises: Mistakes."""
    if data.format is not None:
        return data.format
    formats = {_format_of_name(name) for name in files}
    if len(formats) > 1 or None in formats:
        unknown = next((name for name in files if _format_of_name(name) is None), None)
        what = (
            f"cannot tell the format of {unknown}"
            if unknown
            else f"files of several formats ({_words(formats)})"
        )
        raise source_mistake(f"{what}; set data.format to one of {', '.join(get_args(Format))}")
    return formats.pop()  # type: ignore[return-value]


def _words(formats: set[Format | None]) -> str:
    return ", ".join(sorted(str(name) for name in formats))


def _format_of_name(name: str) -> Format | None:
    return FORMATS.get(PurePosixPath(_uncompressed_name(name.lower())).suffix)


def _uncompressed_name(name: str) -> str:
    ending = PurePosixPath(name).suffix
    return name.removesuffix(ending) if ending in COMPRESSIONS else name


@contextmanager
def open_stream(name: str) -> Iterator[Any]:
    """Gives: the decompressed bytes of a file, read from the start, as a pyarrow stream."""
    compression = COMPRESSIONS.get(PurePosixPath(name.lower()).suffix)
    with storage.open_input(name) as raw:
        if compression == "xz":
            import lzma

            with lzma.open(raw) as plain:
                yield pa.PythonFile(plain, mode="r")
        else:
            yield pa.input_stream(_arrow_file(name, raw), compression=compression)


def _arrow_file(name: str, raw: IO[bytes]) -> Any:
    return raw if storage.is_s3(name) else pa.OSFile(name)
