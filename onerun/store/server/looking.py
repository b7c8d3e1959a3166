"""Looking again, family by family, at runs behind a server right before they are changed."""

from collections.abc import Callable, Collection, Mapping, Sequence

from onerun.config.policy import Policy
from onerun.domain.cleanup.inventory import Experiment
from onerun.domain.cleanup.plan import Item, by_family
from onerun.domain.cleanup.protection import (
    GONE,
    Guards,
    left_with_family,
    of_experiment,
    protecting_tag,
    references,
)
from onerun.store.server import reading
from onerun.tracking.runs import client


class Look:
    """What protects now: versions, families and experiments are asked for once, each run when its turn comes."""

    def __init__(self, policy: Policy, going: Collection[str], owners: Mapping[str, str]) -> None:
        """Args: going: ids of everything in the plan; owners: logged model -> its run, as far as known."""
        self._policy = policy
        self._parents = reading.parents()
        self._words = _needed(owners) | _kept_in_family(self._parents, going)
        self._experiments: dict[str, str | None] = {}

    def carry_out(self, items: Sequence[Item], do: Callable[[str], object]) -> dict[str, str]:
        """Does it to each run that is as planned. Returns: run id -> why it was left; its family with it."""
        left: dict[str, str] = {}
        for family in by_family(items):
            changed = {item.id: word for item in family if (word := self._changed(item))}
            words = left_with_family(changed, [item.id for item in family], self._parents)
            for item in family:
                if item.id not in words and (word := self._done(item, do)):
                    words[item.id] = word
            left |= words
        return left

    def _done(self, item: Item, do: Callable[[str], object]) -> str | None:
        """Returns: why it could not be done, when somebody was quicker."""
        from mlflow.exceptions import MlflowException

        try:
            do(item.id)
        except MlflowException:
            if word := self._changed(item):
                return word
            raise
        return None

    def _changed(self, item: Item) -> str | None:
        run = reading.known(client().get_run, item.id)
        if run is None:
            return GONE
        if run.info.lifecycle_stage != item.lifecycle:
            return f"{run.info.lifecycle_stage} meanwhile"
        if run.info.status in ("RUNNING", "SCHEDULED"):
            return f"reads {run.info.status} meanwhile"
        if run.info.end_time != item.ended:
            return "was resumed meanwhile"
        word = self._words.get(item.id) or protecting_tag(run.data.tags, self._policy.protect.tags)
        return word or self._of_experiment(item.experiment_id)

    def _of_experiment(self, identity: str) -> str | None:
        if identity not in self._experiments:
            protect = self._policy.protect
            found = client().get_experiment(identity)
            about = Experiment(
                identity, found.name, found.lifecycle_stage, "", None, None, dict(found.tags)
            )
            self._experiments[identity] = of_experiment(
                about, Guards(tags=protect.tags, experiments=protect.experiments)
            )
        return self._experiments[identity]


def _needed(owners: Mapping[str, str]) -> dict[str, str]:
    """Returns: run id -> the registered version that needs it, or a logged model of it."""
    needed: dict[str, str] = {}
    for version in reading.versions():
        for named in references(version):
            needed.setdefault(_run_of(named, owners) or named, version.words)
    return needed


def _run_of(named: str, owners: Mapping[str, str]) -> str | None:
    if not named.startswith("m-") or named in owners:
        return owners.get(named)
    model = reading.known(client().get_logged_model, named)
    return model.source_run_id if model else None


def _kept_in_family(parents: Mapping[str, str], going: Collection[str]) -> dict[str, str]:
    """Returns: run id -> which child it has that is not in the plan, or which parent."""
    found = {
        child: f"has parent {parent}" for child, parent in parents.items() if parent not in going
    }
    return found | {
        parent: f"has child {child}" for child, parent in parents.items() if child not in going
    }
