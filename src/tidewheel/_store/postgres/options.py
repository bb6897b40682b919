"""Where the server is and how it is used, read from `postgresql://user@host:port/database?option=value`."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from tidewheel._model.errors import ConfigError

_CHOICES: Final[dict[str, tuple[str, ...]]] = {"listen": ("auto", "off"), "migrate": ("auto", "manual")}
_RANGES: Final[dict[str, tuple[int, int]]] = {"pool_size": (1, 1000), "statement_cache_size": (0, 10_000)}
_OURS: Final = ("schema", *_CHOICES, *_RANGES)
_DRIVERS: Final = (
    "application_name", "host", "passfile", "port", "service", "servicefile", "sslcert", "sslcrl", "sslkey", "sslmode",
    "sslpassword", "sslrootcert", "target_session_attrs",
)  # fmt: skip
_FILES: Final = ("sslcert", "sslcrl", "sslkey", "sslrootcert")
_SSL: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_PLACES: Final = ("password", "user", "dbname", "database")
_SECRET: Final = ("password", "sslpassword")
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,39}")  # channels are named after it, and names end at 63 bytes
_LONGEST: Final = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresOptions:
    """How one database is used.

    `dsn`: what the driver gets: user, password, hosts, database, TLS. Never print it; `shown` is for people.
    `schema`: the schema that holds our tables (default "tidewheel"); one database can hold several.
    `pool_size`: connections of a process at most (default 8), besides one that listens.
    `statement_cache_size`: prepared statements kept by each connection. By default 256, and none behind a pooler
    such as PgBouncer, which is noticed on opening; 1.21 or newer with max_prepared_statements may be given a number.
    `listen`: "auto" (default) hears and gives hints by LISTEN and NOTIFY; "off" leaves everything to polling.
    `migrate`: "auto" (default) brings an older schema up to date on opening; "manual" leaves it to
    `tidewheel migrate`.
    """

    dsn: str = field(repr=False)
    shown: str
    schema: str = "tidewheel"
    pool_size: int = 8
    statement_cache_size: int | None = None
    listen: str = "auto"
    migrate: str = "auto"

    @classmethod
    def parse(cls, url: str) -> PostgresOptions:
        """Read a `postgresql:` or `postgres:` URL.

        Raises:
            ConfigError: every problem of the URL at once.
        """
        shown = without_password(url)
        problems: list[str] = []
        try:
            parts = urlsplit(url)
            _ = parts.port if "," not in parts.netloc else None  # reading it checks it
        except ValueError as error:
            raise ConfigError(
                f"The store URL {shown!r} cannot be read ({error}). Write postgresql://user@host:5432/database."
            ) from None
        if not url.partition(":")[2].startswith("//"):
            problems.append(f"The store URL {shown!r} lacks '//'. Write postgresql://user@host:5432/database.")
        ours: dict[str, Any] = {}
        passed: list[tuple[str, str]] = []
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            if name in (*_DRIVERS, *_PLACES):
                passed.append((name, value))
                if name == "sslmode" and value not in _SSL:
                    problems.append(f"sslmode={value} in {shown!r} must be one of: {', '.join(_SSL)}.")
            elif name in _OURS:
                ours[name] = int(value) if name in _RANGES and value.isascii() and value.isdigit() else value
                problems += [f"{name}={value} in {shown!r} must be {what}." for what in _wrong(name, ours[name])]
            else:
                problems.append(_unknown(name, shown))
        if problems:
            raise ConfigError(problems)
        dsn = parts._replace(scheme="postgresql", query=urlencode(passed)).geturl()
        return cls(dsn=dsn, shown=shown, **ours)

    @property
    def database(self) -> str:
        """The database the URL names, for messages."""
        return unquote(urlsplit(self.dsn).path.removeprefix("/")) or "(the user's)"

    @property
    def user(self) -> str:
        """The user the URL names, for messages."""
        name = urlsplit(self.dsn).username
        return unquote(name) if name else "(the operating system's user)"

    def unreadable(self) -> list[str]:
        """Files for TLS that the URL names and this user cannot read, for messages."""
        named = [(name, value) for name, value in parse_qsl(urlsplit(self.dsn).query) if name in _FILES]
        return [f"{name}={value}" for name, value in named if not os.access(value, os.R_OK)]

    def channel(self, kind: str) -> str:
        """The notification channel of a kind of hint. Channels are shared by all schemas of a database."""
        return f"tidewheel:{self.schema}:{kind}"[:_LONGEST]


def _wrong(name: str, value: Any) -> list[str]:
    """What the value of an option must be, when it is not."""
    if name in _RANGES:
        low, high = _RANGES[name]
        return [] if isinstance(value, int) and low <= value <= high else [f"a whole number from {low} to {high}"]
    if name in _CHOICES:
        return [] if value in _CHOICES[name] else [f"one of: {', '.join(_CHOICES[name])}"]
    if _SCHEMA.fullmatch(value) and not value.startswith("pg_"):
        return []
    return ["a name of at most 40 small letters, digits and _, not beginning with a digit or pg_"]


def _unknown(name: str, shown: str) -> str:
    known = [*_OURS, *_DRIVERS]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else f" Known: {', '.join(known)}."
    return f"Unknown option {name!r} in the store URL {shown!r}.{hint}"


def without_password(url: str) -> str:
    """A URL for people to read: user, place and options, no secrets."""
    head, mark, query = url.partition("?")
    scheme, slashes, rest = head.partition("//")
    if "@" in rest:
        login, _, place = rest.rpartition("@")
        rest = f"{login.partition(':')[0]}@{place}"
    pairs = parse_qsl(query, keep_blank_values=True)
    safe = "&".join(f"{name}={'***' if name in _SECRET else quote(value, safe='/:,')}" for name, value in pairs)
    return f"{scheme}{slashes}{rest}{mark}{safe}"
