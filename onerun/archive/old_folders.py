"""Archives of folders as versions before format 2 wrote them: no header, checksums in SHA256SUMS.

They are only read: checked against their list, which becomes a manifest like today's.
"""

import hashlib
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from onerun.archive.container import Member, MemberType
from onerun.domain.archives import HEADER, inside
from onerun.domain.errors import ArchiveDamaged

CHECKSUMS = "SHA256SUMS"  # the last member, as `sha256sum` writes it
SUFFIX = ".folders.tar.gz"


def is_one(uri: str, first: Member) -> bool:
    """Return whether an archive of that name and first member is of this format."""
    return uri.endswith(SUFFIX) and first.name != HEADER


def check(uri: str, first: Member, others: Iterator[Member], manifest: Path) -> dict[str, int]:
    """Compare the members with the list. Write the manifest. Return the counts.

    Raises: ArchiveDamaged: they differ, or there is no list.
    """
    expected = hashlib.sha256()
    files = size = 0
    with manifest.open("w", encoding="utf-8") as lines:
        for member in chain([first], others):
            line = member.line()
            if member.name == CHECKSUMS:
                if line.get("sha256") != expected.hexdigest() or next(others, None) is not None:
                    break
                counts = {"files": files, "file bytes": size}
                lines.write(json.dumps({"counts": counts}) + "\n")
                return counts
            if not inside(member.name):
                raise ArchiveDamaged(f"{member.name!r} would lie outside of the folder")
            if member.type == MemberType.FILE:
                expected.update(_listed(member.name, line["sha256"]))
                files, size = files + 1, size + member.size
            lines.write(json.dumps(line) + "\n")
    raise ArchiveDamaged(
        f"{uri}: what it holds is not what its list says: it was changed or cut off"
    )


def _listed(name: str, digest: str) -> bytes:
    """Return the line of a file."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    prefix = "" if escaped == name else "\\"
    return f"{prefix}{digest}  {escaped}\n".encode("utf-8", "surrogateescape")
