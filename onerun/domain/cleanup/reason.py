"""Why something is kept: a kind for code, a detail, and the sentence that a person reads."""

from enum import StrEnum
from typing import NamedTuple


class ReasonKind(StrEnum):
    """What keeps a run, an experiment or a folder.

    The value is the label under which a plan counts it.
    """

    # protection
    REGISTERED = "registered"
    MEASURED = "measured a registered model"
    ISSUE = "named by an issue"
    MODEL = "logged model"
    TAG = "tag"
    MODEL_TAG = "tag of a logged model"
    EXPERIMENT_TAG = "tag of the experiment"
    EXPERIMENT = "protect.experiments"
    STATUS = "status"
    LIVE = "live flow run"
    APART = "family in several experiments"
    FAMILY = "parent or child of a kept run"
    PLACE = "place"
    # of damaged experiments
    YOUNG = "changed lately"
    NAMELESS = "name not known"
    NOT_SELECTED = "not selected"
    INSIDE = "something inside"
    # what changed since the plan
    MISSING = "missing"
    LIFECYCLE = "lifecycle"
    RESUMED = "resumed"
    UNREADABLE = "unreadable"
    MOVED = "moved"
    CHILD = "child"
    PARENT = "parent"
    NOT_ARCHIVED = "not archived"
    CHANGED = "changed"
    NOT_EMPTY = "not empty"
    RESTORED = "restored"
    REPAIRED = "repaired"
    TWICE = "twice"
    # what could not be done
    LINK = "link"
    REFUSED = "refused"
    NOT_MOVED = "not moved"
    # orphaned artifacts
    OWNED = "owned"
    RESTORED_MODEL = "model with a run"
    CHANGED_SINCE = "changed since"
    # what trainings left
    NAMED = "named by a run"
    UNNAMED = "training under way"
    UNKNOWN_ORIGIN = "origin not known"


TEXTS = {
    ReasonKind.REGISTERED: "{}",
    ReasonKind.MEASURED: "measured {}",
    ReasonKind.ISSUE: "issue {} names it",
    ReasonKind.MODEL: "logged model {}, which the policy does not select",
    ReasonKind.TAG: "tag {}",
    ReasonKind.MODEL_TAG: "tag {} of a logged model",
    ReasonKind.EXPERIMENT_TAG: "tag {} of the experiment",
    ReasonKind.EXPERIMENT: "protect.experiments",
    ReasonKind.STATUS: "has status {}",
    ReasonKind.LIVE: "its flow run is live",
    ReasonKind.APART: "has a parent or child in another experiment",
    ReasonKind.FAMILY: "parent or child of {}, which is kept",
    ReasonKind.PLACE: "lies {}",
    ReasonKind.YOUNG: "changed {} ago",
    ReasonKind.NAMELESS: "its name, by which the policy protects or excludes experiments, is not known",
    ReasonKind.NOT_SELECTED: "the policy does not select it",
    ReasonKind.INSIDE: "{}",
    ReasonKind.MISSING: "is not there any more",
    ReasonKind.LIFECYCLE: "is {} now",
    ReasonKind.RESUMED: "was resumed since the plan",
    ReasonKind.UNREADABLE: "cannot be read any more",
    ReasonKind.MOVED: "lies in another experiment now",
    ReasonKind.CHILD: "has child {}",
    ReasonKind.PARENT: "has parent {}",
    ReasonKind.NOT_ARCHIVED: "is not in the archive",
    ReasonKind.CHANGED: "its {} changed since they were archived",
    ReasonKind.NOT_EMPTY: "still holds {}",
    ReasonKind.RESTORED: "is not deleted any more",
    ReasonKind.REPAIRED: "was repaired since the plan",
    ReasonKind.TWICE: "its id is in the trash too",
    ReasonKind.LINK: "lies behind a link, which is never followed to delete",
    ReasonKind.REFUSED: "cannot be changed: {}",
    ReasonKind.NOT_MOVED: "cannot be moved {}",
    ReasonKind.OWNED: "{} is in the store again",
    ReasonKind.RESTORED_MODEL: "has its run again, or is not there any more",
    ReasonKind.CHANGED_SINCE: "was changed since the plan",
    ReasonKind.NAMED: "a run names it",
    ReasonKind.UNNAMED: "{} trainings under way have not named their snapshot yet",
    ReasonKind.UNKNOWN_ORIGIN: "{} registered versions have no run, so their snapshots are not known",
}
# The others name a run, a version or an issue each: too many to count one by one.
COUNTED_BY_TEXT = (
    ReasonKind.TAG,
    ReasonKind.MODEL_TAG,
    ReasonKind.EXPERIMENT_TAG,
    ReasonKind.EXPERIMENT,
    ReasonKind.STATUS,
    ReasonKind.LIVE,
    ReasonKind.APART,
    ReasonKind.PLACE,
)


class Reason(NamedTuple):
    """Why something is kept. A named tuple: stores have hundreds of thousands of them."""

    kind: ReasonKind
    detail: str = ""

    def __str__(self) -> str:
        """Return the sentence."""
        return TEXTS[self.kind].format(self.detail)

    @property
    def label(self) -> str:
        """Return how a plan counts it."""
        return str(self) if self.kind in COUNTED_BY_TEXT else self.kind.value
