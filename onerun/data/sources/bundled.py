"""scikit-learn's bundled data sets: `sklearn:iris`. The target is called `target`; classes have
their names.
"""

import pyarrow as pa

from onerun.config.mistakes import did_you_mean
from onerun.data.source_table import SourceTable
from onerun.data.sources.files import source_mistake

NAMES = ("breast_cancer", "diabetes", "digits", "iris", "wine")


def require_bundled(name: str) -> None:
    """Raise Mistakes for a data set that is not bundled."""
    if name not in NAMES:
        near = did_you_mean(name, NAMES)
        raise source_mistake(
            f"sklearn:{name}: not bundled with scikit-learn{near} ({', '.join(NAMES)})"
        )


def open_bundled(name: str) -> SourceTable:
    """Return the data set with its feature names.

    Raises:
        Mistakes: It is not bundled.
    """
    require_bundled(name)
    from sklearn import datasets

    loaded = getattr(datasets, f"load_{name}")()
    columns = {str(name): loaded.data[:, place] for place, name in enumerate(loaded.feature_names)}
    classes = getattr(loaded, "target_names", None)
    columns["target"] = loaded.target
    if classes is not None:
        columns["target"] = [str(classes[code]) for code in loaded.target]
    table = pa.table(columns)
    return SourceTable(table.schema, iter(table.to_batches()), table.num_rows)
