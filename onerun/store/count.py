"""Count: trainings and models of the store that the environment names."""

import os
from contextlib import closing

from onerun.domain.monitoring.seen import Registered, Trainings
from onerun.store import trainings
from onerun.store.sql import trainings as tables
from onerun.store.sql.database import open_database

IN_SETS = (
    "sqlite",
    "postgresql",
)  # other stores are asked through MLflow's client, training by training


def count_trainings(since: int) -> Trainings:
    """Returns: what the store holds; in a few queries where its database can be reached.

    Args: since: milliseconds since 1970; what ended later is recent.
    Raises: Mistakes, StoreUnreachable.
    """
    uri = os.environ["MLFLOW_TRACKING_URI"]
    if not uri.startswith(IN_SETS):
        return trainings.trainings(since)
    with closing(open_database(uri)) as database, database.reading() as connection:
        return tables.trainings(connection, since)


def count_models() -> list[Registered]:
    """Returns: all registered models, their aliases and ledgers. Raises: StoreUnreachable."""
    return trainings.registered()
