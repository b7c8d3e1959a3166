"""The kinds of address in a profile, and how to show one without the secrets that people write into it (P7)."""

import re
from importlib.util import find_spec
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field

from onerun.config.mistakes import did_you_mean

STORES = (
    "sqlite",
    "postgresql",
    "mysql",
    "mssql",
    "http",
    "https",
    "databricks",
    "databricks-uc",
    "file",
)
HIDDEN = "***"
OF_ASYNCPG = (
    "prepared_statement_cache_size",
    "statement_cache_size",
    "prepared_statement_name_func",
    "command_timeout",
)
_SPILLS = re.compile(
    r"[^:/]*:[^@]*@[^?]*@"
)  # after the first @ that follows a password SQLAlchemy expects the host
_CUT = re.compile(
    r"[^:/@\[]*:(?!\d*/)[^/@]*/[^?]*@"
)  # what looks like a port, and is the begin of a password
_SECRET_KEY = re.compile(
    r"(?i)([?&;][^=&;]*(?:password|passwd|pwd|token|secret|signature|credential|key)[^=&;]*=)[^&;#]*"
)


def redact(address: str) -> str:
    """`postgresql://me:pw@db/x?sslpassword=y` → `postgresql://me:***@db/x?sslpassword=***`; paths stay as they are."""
    scheme, colon, rest = address.partition("://")
    if not colon:
        return address
    cut = _CUT.match(rest)
    authority = cut[0] if cut else rest.partition("/")[0]
    path = rest[len(authority) :]
    user, at, host = authority.rpartition("@")
    name, separator, password = user.partition(":")
    if password:
        user = f"{name}:{HIDDEN}"
    elif (
        name and not separator and scheme.startswith("http")
    ):  # a lone user of a web address is a token
        user = HIDDEN
    return _SECRET_KEY.sub(rf"\g<1>{HIDDEN}", f"{scheme}://{user}{at}{host}{path}")


def redacted(text: str) -> str:
    """Return the text, each address in it as `redact` shows it: libraries repeat whole addresses in their errors."""
    return re.sub(r"\w[\w+.-]*://[^\s'\"<>]+", lambda match: redact(match[0]), text)


def with_driver(uri: str) -> str:
    """Return the database's address with a driver that is there: SQLAlchemy takes psycopg2 where none is named, and
    what `onerun[postgres]` brings is psycopg 3.
    """
    if (
        uri.startswith("postgresql://")
        and find_spec("psycopg2") is None
        and find_spec("psycopg") is not None
    ):
        return uri.replace("postgresql://", "postgresql+psycopg://", 1)
    return uri


def synchronous(address: str) -> str:
    """Return the address of Prefect's database with the drivers that wait, which call asyncpg's `ssl` `sslmode`."""
    place, mark, query = (
        address.replace("+asyncpg", "+psycopg", 1).replace("+aiosqlite", "", 1).rpartition("?")
    )
    options = [option for option in query.split("&") if option.partition("=")[0] not in OF_ASYNCPG]
    return place + mark + "&".join(re.sub(r"^ssl=", "sslmode=", option) for option in options)


def need_whole_password(address: str) -> str:
    """Raises: ValueError for a database's address whose password reaches into what drivers take for the host.

    They repeat the host in their errors, and with it the end of the password (P7).
    """
    if not address.startswith("http") and _SPILLS.match(address.partition("://")[2]):
        raise ValueError(
            "an @ that is not a separator; percent-encode the password: @ is %40, / is %2F, : is %3A"
        )
    return address


def holds_secret(address: str) -> bool:
    """Whether `redact` would hide something."""
    return redact(address) != address


def _store_uri(uri: str) -> str:
    scheme = uri.partition(":")[0].partition("+")[0]
    if ":" in uri and scheme not in STORES:
        raise ValueError(f"MLflow has no store of kind {scheme}{did_you_mean(scheme, STORES)}")
    if (":" not in uri and not uri.startswith("databricks")) or scheme == "file":
        raise ValueError(
            "MLflow refuses folders of files as store; use sqlite:///mlflow.db, a database or a server"
        )
    return need_whole_password(uri)


def _web_address(uri: str) -> str:
    if not re.match(r"https?://[^/]", uri):
        raise ValueError("expected an address such as http://127.0.0.1:9000")
    return uri.rstrip("/")


def _prefect_api(uri: str) -> str:
    if not urlsplit(_web_address(uri)).path.rstrip("/"):
        raise ValueError(
            f"names a server but not its API; did you mean {redact(uri).rstrip('/')}/api?"
        )
    return uri.rstrip("/")


def folder_or_bucket(place: str) -> str:
    """Return a folder as written, without `file://`, or an s3:// address. Raises: ValueError for another address."""
    if place.startswith("file:"):
        return unquote(urlsplit(place).path)
    if "://" in place and not re.match(r"s3://[^/]", place):
        raise ValueError(f"expected a folder or s3://bucket/prefix, got {redact(place)}")
    return place


StoreUri = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_store_uri)]
WebAddress = Annotated[str, Field(max_length=4000), AfterValidator(_web_address)]
PrefectApi = Annotated[str, Field(max_length=4000), AfterValidator(_prefect_api)]
FolderOrBucket = Annotated[
    str, Field(min_length=1, max_length=1000), AfterValidator(folder_or_bucket)
]
