"""Tags that may protect: asked for in sets."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from onerun.domain.cleanup.protection import PIN

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select


def tag_condition(patterns: Sequence[str], key: Any) -> "ColumnElement[bool]":
    """Args: key: the column. Returns: that a tag's key may protect: a superset, the domain decides."""
    from sqlalchemy import or_

    keys = [pattern.partition("=")[0] for pattern in patterns]
    plain = [PIN, *(each for each in keys if not set(each) & set("*?"))]
    globs = [each for each in keys if set(each) & set("*?")]
    likes = [key.like(_like(each), escape="\\") for each in globs]
    return or_(key.in_(plain), *likes)


def _like(glob: str) -> str:
    for special in "\\%_":
        glob = glob.replace(special, f"\\{special}")
    return glob.replace("*", "%").replace("?", "_")


def by_owner(connection: "Connection", query: "Select[Any]") -> dict[str, dict[str, str]]:
    """Returns: whose tag it is -> key -> value."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for owner, key, value in connection.execute(query):
        found[owner][key] = value or ""
    return found
