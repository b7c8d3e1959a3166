"""A recipe's source, opened by its kind."""

from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.recipe import Data
from onerun.data.sources.addresses import filled_in, is_database
from onerun.data.sources.files import format_of, located
from onerun.data.sources.opened import Opened
from onerun.domain.errors import StoreUnreachable
from onerun.retry import limited_to


def opened(data: Data, careful: bool = False) -> Opened:
    """Returns: the table, not yet read. `careful`: the first try met values that its first rows had not announced.

    Raises: Mistakes when there is no such source, DataError when it is no table.
    """
    source = data.source
    if source.startswith("sklearn:"):
        from onerun.data.sources import bundled

        return bundled.opened(source.removeprefix("sklearn:"))
    if data.query is not None or is_database(source):
        from onerun.data.sources import sql

        return sql.opened(data, careful)
    return _of_files(located(source.removeprefix("file://")), data, careful)


def check_source(data: Data) -> list[Mistake]:
    """Returns: what can be told of a source without reading it: no such file, object, data set or variable."""
    source = data.source
    try:
        if source.startswith("sklearn:"):
            from onerun.data.sources import bundled

            bundled.known(source.removeprefix("sklearn:"))
        elif (
            data.query is not None
            or is_database(source)
            or source.startswith(("http://", "https://"))
        ):
            filled_in(source)
        else:
            with limited_to(0):
                format_of(located(source.removeprefix("file://")), data)
    except Mistakes as mistakes:
        return list(mistakes.mistakes)
    except StoreUnreachable as silent:
        return [Mistake("data.source", f"{source}: {silent}; look at MLFLOW_S3_ENDPOINT_URL")]
    return []


def _of_files(files: list[str], data: Data, careful: bool) -> Opened:
    chosen = format_of(files, data)
    if chosen == "parquet":
        from onerun.data.sources import parquet

        return parquet.opened(files)
    if chosen == "jsonl":
        from onerun.data.sources import jsonlines

        return jsonlines.opened(files, careful)
    from onerun.data.sources import delimited

    return delimited.opened(files, data, "\t" if chosen == "tsv" else ",", careful)
