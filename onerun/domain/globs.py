"""Names with `*` and `?`, as people write them in policies and on command lines."""

from fnmatch import fnmatchcase


def matches(text: str, pattern: str) -> bool:
    """Whether the text is as the pattern says; brackets are themselves, as names such as `houses [prod]` hold them."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))
