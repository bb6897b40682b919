"""Which server and how, read from `redis://user:password@host:6379/0?option=value`."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from tidewheel._model.duration import micros
from tidewheel._model.errors import ConfigError

SCHEMES: Final = ("redis", "rediss", "valkey", "valkeys")
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "eviction": ("refuse", "allow"),
    "migrate": ("auto", "manual"),
    "tls_verify": ("full", "certificate", "none"),
}
_SPANS: Final = ("timeout", "connect_timeout")
_FILES: Final = ("tls_ca", "tls_cert", "tls_key")
_KNOWN: Final = ("namespace", "connections", *_SPANS, *_CHOICES, *_FILES)
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisOptions:
    """How one namespace on one server is reached.

    `namespace`: what all keys begin with, default "tidewheel"; apps with different ones do not see one another.
    `timeout`, `connect_timeout`: how long one call, or connecting, may take, in microseconds (default 10 s, 5 s).
    `connections`: at most so many at once, default 8; one more listens for hints.
    `eviction`: "refuse" (default) or "allow" a server that may throw keys away when its memory is full.
    `migrate`: "auto" (default) brings an older layout up to date on opening; "manual" leaves it to `tidewheel migrate`.
    `tls_verify`: with rediss: check the certificate and the host's name ("full", default), the certificate, or nothing.
    `tls_ca`, `tls_cert`, `tls_key`: files of the authority, of our certificate and of its key.
    """

    host: str = "localhost"
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    namespace: str = "tidewheel"
    timeout: int = 10_000_000
    connect_timeout: int = 5_000_000
    connections: int = 8
    eviction: str = "refuse"
    migrate: str = "auto"
    tls_verify: str = "full"
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None

    @property
    def place(self) -> str:
        """The server and database, for messages: without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' if self.tls else ''}://{host}:{self.port}/{self.db}"

    @classmethod
    def parse(cls, url: str) -> RedisOptions:
        """Read a URL.

        Raises:
            ConfigError: every problem of the URL at once.
        """
        problems: list[str] = []
        values: dict[str, str | int | bool | None] = {}
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"{_shown(url)} is no URL: {error}. Write redis://host:6379/0.") from None
        values |= {"tls": parts.scheme.lower() in {"rediss", "valkeys"}, "port": 6379 if port is None else port}
        values["host"] = unquote(parts.hostname or "localhost")
        values["username"] = unquote(parts.username) if parts.username else None
        values["password"] = unquote(parts.password) if parts.password else None
        database = parts.path.strip("/")
        if database and not (database.isascii() and database.isdigit()):
            problems.append(f"The database {database!r} in {_shown(url)} is no number. Write redis://host:6379/0.")
        elif database:
            values["db"] = int(database)
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            problem = _take(values, name, value)
            if problem:
                problems.append(f"{problem} It stands in {_shown(url)}.")
        if problems:
            raise ConfigError(problems)
        return cls(**values)  # type: ignore[arg-type]


def _take(values: dict[str, str | int | bool | None], name: str, value: str) -> str | None:
    """Take an option over; gives what is wrong with it, or None."""
    if name not in _KNOWN:
        close = difflib.get_close_matches(name, _KNOWN, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(_KNOWN)}."
        return f"Unknown option {name!r}. {hint}"
    if name in _CHOICES and value not in _CHOICES[name]:
        return f"{name}={value} must be one of: {', '.join(_CHOICES[name])}."
    if name == "namespace" and not _NAMESPACE.fullmatch(value):
        return f"namespace={value} must be 1 to 100 of: letters, digits and . _ : -"
    if name == "connections":
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 1000):
            return f"connections={value} must be a number from 1 to 1000."
        values[name] = int(value)
        return None
    if name in _SPANS:
        try:
            span = micros(float(value) if value.replace(".", "", 1).isdigit() else value)
        except ValueError as error:
            return f"{name}={value}: {error}."
        if span <= 0:
            return f"{name}={value} must be more than 0."
        values[name] = span
        return None
    values[name] = value
    return None


def _shown(url: str) -> str:
    """The URL without its password."""
    return repr(re.sub(r"(?<=://)([^/@]*:)[^/@]*@", r"\1***@", url))
