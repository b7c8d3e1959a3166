"""Whether a champion may have learned from the very rows that it is now judged on."""

import json
from collections.abc import Mapping

from onerun.config.recipe import Data, Split

DECIDES_BY_PLACE = (
    "random",
    "stratified",
)  # these divide by a row's place in the table, not by what is in it


def unfair(
    data: Data, split: Split, digest: str, params: Mapping[str, str], champions_digest: str | None
) -> str:
    """Returns: why the champion may look better than it is, in words; nothing when its test rows are these too.

    Args:
        digest: of the snapshot that both are judged on.
        params: of the champion's run, as logged (`split.seed`, ...); empty where another program trained it.
        champions_digest: of the snapshot that it was trained on, where that is known.
    """
    if "split.by" not in params:
        return ""
    changed = [
        f"{key} {params[key]}, now {now}"
        for key, now in _asked(data, split).items()
        if params.get(key) != now
    ]
    if changed:
        return _told(f"was divided otherwise ({', '.join(changed)})")
    if split.by in DECIDES_BY_PLACE and champions_digest not in (None, digest):
        return _told(f"divided another table, and split.by: {split.by} depends on the whole of it")
    return ""


def _asked(data: Data, split: Split) -> dict[str, str]:
    """What decides which rows are test rows, as a run logs it."""
    asked = {"split.by": split.by, "split.test": f"{split.test}", "split.seed": f"{split.seed}"}
    if split.by == "time":
        return {"split.by": split.by, "split.test": f"{split.test}", "data.time": f"{data.time}"}
    if split.by == "hash":
        return asked | {"split.columns": json.dumps(split.columns, ensure_ascii=False)}
    return asked | ({"data.group": f"{data.group}"} if split.by == "group" else {})


def _told(how: str) -> str:
    return (
        f"its training {how}: it may have learned from these test rows and look better than it is"
    )
