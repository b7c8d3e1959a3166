"""Open a recipe's source by its kind."""

from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.recipe import Data
from onerun.data.source_table import SourceTable
from onerun.data.sources.addresses import fill_variables, is_database
from onerun.data.sources.files import file_format, find_files
from onerun.domain.errors import StoreUnreachable
from onerun.retry import deadline


def open_source(data: Data, careful: bool = False) -> SourceTable:
    """Return the source as a table that is not read yet.

    Args:
        data: The recipe's section.
        careful: Read every value before deciding on types, since later rows did not fit those of
            the first ones.

    Raises:
        Mistakes: There is no such source.
        DataError: It is not a table.
    """
    source = data.source
    if source.startswith("sklearn:"):
        from onerun.data.sources import bundled

        return bundled.open_bundled(source.removeprefix("sklearn:"))
    if data.query is not None or is_database(source):
        from onerun.data.sources import sql

        return sql.open_query(data, careful)
    files = find_files(source.removeprefix("file://"))
    chosen = file_format(files, data)
    if chosen == "parquet":
        from onerun.data.sources import parquet

        return parquet.open_parquet(files)
    if chosen == "jsonl":
        from onerun.data.sources import jsonlines

        return jsonlines.open_json_lines(files, careful)
    from onerun.data.sources import delimited

    delimiter = "\t" if chosen == "tsv" else ","
    return delimited.open_delimited(files, data, delimiter, careful)


def check_source(data: Data) -> list[Mistake]:
    """Return the mistakes that show without reading: a missing file, object, data set or
    variable.
    """
    source = data.source
    is_web = source.startswith(("http://", "https://"))
    try:
        if source.startswith("sklearn:"):
            from onerun.data.sources import bundled

            bundled.require_bundled(source.removeprefix("sklearn:"))
        elif data.query is not None or is_database(source) or is_web:
            fill_variables(source)
        else:
            with deadline(0):
                file_format(find_files(source.removeprefix("file://")), data)
    except Mistakes as mistakes:
        return list(mistakes.mistakes)
    except StoreUnreachable as error:
        return [Mistake("data.source", f"{source}: {error}; look at MLFLOW_S3_ENDPOINT_URL")]
    return []
