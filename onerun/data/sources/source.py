"""A recipe's source, opened by its kind."""

from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.recipe import Data
from onerun.data.source_table import SourceTable
from onerun.data.sources.addresses import fill_variables, is_database
from onerun.data.sources.files import file_format, find_files
from onerun.domain.errors import StoreUnreachable
from onerun.retry import deadline


def open_source(data: Data, careful: bool = False) -> SourceTable:
    """Returns: the table, not yet read. `careful`: the first try met values that its first rows had not announced.

    Raises: Mistakes when there is no such source, DataError when it is no table.
    """
    source = data.source
    if source.startswith("sklearn:"):
        from onerun.data.sources import bundled

        return bundled.open_bundled(source.removeprefix("sklearn:"))
    if data.query is not None or is_database(source):
        from onerun.data.sources import sql

        return sql.open_query(data, careful)
    return _of_files(find_files(source.removeprefix("file://")), data, careful)


def check_source(data: Data) -> list[Mistake]:
    """Returns: what can be told of a source without reading it: no such file, object, data set or variable."""
    source = data.source
    try:
        if source.startswith("sklearn:"):
            from onerun.data.sources import bundled

            bundled.require_bundled(source.removeprefix("sklearn:"))
        elif (
            data.query is not None
            or is_database(source)
            or source.startswith(("http://", "https://"))
        ):
            fill_variables(source)
        else:
            with deadline(0):
                file_format(find_files(source.removeprefix("file://")), data)
    except Mistakes as mistakes:
        return list(mistakes.mistakes)
    except StoreUnreachable as silent:
        return [Mistake("data.source", f"{source}: {silent}; look at MLFLOW_S3_ENDPOINT_URL")]
    return []


def _of_files(files: list[str], data: Data, careful: bool) -> SourceTable:
    chosen = file_format(files, data)
    if chosen == "parquet":
        from onerun.data.sources import parquet

        return parquet.open_parquet(files)
    if chosen == "jsonl":
        from onerun.data.sources import jsonlines

        return jsonlines.open_json_lines(files, careful)
    from onerun.data.sources import delimited

    return delimited.open_delimited(files, data, "\t" if chosen == "tsv" else ",", careful)
