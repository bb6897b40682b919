"""Which servers and how, read from a URL.

* `redis://user:password@host:6379/0?option=value`: one server,
* `redis+sentinel://host:26379,host:26379/mymaster?option=value`: the one that sentinels name,
* `redis+cluster://host:6379,host:6379/?namespace=NAME`: the node of a cluster that has the namespace.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from tidewheel._model.duration import micros
from tidewheel._model.errors import ConfigError
from tidewheel._store.redis.address import Address

SINGLE: Final = "single"
SENTINEL: Final = "sentinel"
CLUSTER: Final = "cluster"
_PORTS: Final = {SINGLE: 6379, SENTINEL: 26379, CLUSTER: 6379}
_FORMS: Final = {
    SINGLE: "redis://host:6379/0",
    SENTINEL: "redis+sentinel://host:26379,host:26379/mymaster",
    CLUSTER: "redis+cluster://host:6379,host:6379/?namespace=NAME",
}
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "eviction": ("refuse", "allow"),
    "migrate": ("auto", "manual"),
    "tls_verify": ("full", "certificate", "none"),
    "sentinel_tls": ("yes", "no"),
}
_SPANS: Final = ("timeout", "connect_timeout")
_NUMBERS: Final = {"connections": (1, 1000), "wait_replicas": (0, 100), "db": (0, 1_000_000)}
_FILES: Final = ("tls_ca", "tls_cert", "tls_key")
_SENTINELS: Final = ("sentinel_username", "sentinel_password", "sentinel_tls")
_KNOWN: Final = ("namespace", *_NUMBERS, *_SPANS, "eviction", "migrate", "tls_verify", *_FILES, *_SENTINELS)
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisOptions:
    """How one namespace is reached.

    `addresses`: the server; several, when they are sentinels or nodes of a cluster: those that are asked first.
    `topology`: "single", "sentinel" or "cluster"; it is the end of the URL's scheme.
    `master`: what the sentinels call the servers that belong together.
    `namespace`: what all keys begin with, default "tidewheel"; apps with different ones do not see one another.
    `timeout`, `connect_timeout`: how long one call, or connecting, may take, in microseconds (default 10 s, 5 s).
    `connections`: at most so many at once, default 8; one more listens for hints.
    `wait_replicas`: a write is answered when so many replicas have it, too; default 0: replicas follow when they can.
    `eviction`: "refuse" (default) or "allow" a server that may throw keys away when its memory is full.
    `migrate`: "auto" (default) brings an older layout up to date on opening; "manual" leaves it to `tidewheel migrate`.
    `tls_verify`: with rediss: check the certificate and the host's name ("full", default), the certificate, or nothing.
    `tls_ca`, `tls_cert`, `tls_key`: files of the authority, of our certificate and of its key.
    `sentinel_username`, `sentinel_password`: for the sentinels; those before the @ are for the servers.
    `sentinel_tls`: whether the sentinels speak TLS, "yes" or "no"; default: as the servers do.
    """

    addresses: tuple[Address, ...] = (Address("localhost", 6379),)
    topology: str = SINGLE
    master: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    namespace: str = "tidewheel"
    timeout: int = 10_000_000
    connect_timeout: int = 5_000_000
    connections: int = 8
    wait_replicas: int = 0
    eviction: str = "refuse"
    migrate: str = "auto"
    tls_verify: str = "full"
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    sentinel_tls: str | None = None

    @property
    def host(self) -> str:
        """Of the first address."""
        return self.addresses[0].host

    @property
    def port(self) -> int:
        """Of the first address."""
        return self.addresses[0].port

    @property
    def place(self) -> str:
        """What the URL names, for messages: without the password."""
        if self.topology == SINGLE:
            return self.at(self.addresses[0])
        all_of_them = ",".join(map(str, self.addresses))
        rest = "/".join([self.master] * bool(self.master) + [str(self.db)] * bool(self.db))
        return f"redis{'s' if self.tls else ''}+{self.topology}://{all_of_them}/{rest}"

    def at(self, address: Address) -> str:
        """One server, for messages: the address at which it was found, and by which URL."""
        found = f"redis{'s' if self.tls else ''}://{address}/{self.db}"
        return found if self.topology == SINGLE else f"{found} (found by {self.place})"

    @property
    def in_cluster(self) -> str:
        """The URL to write instead where the server turns out to be of a cluster."""
        return f"redis{'s' if self.tls else ''}+cluster://{self.addresses[0]}/?namespace={self.namespace}"

    def of_sentinels(self) -> RedisOptions:
        """How the sentinels themselves are reached."""
        return replace(
            self,
            username=self.sentinel_username,
            password=self.sentinel_password,
            tls=self.tls if self.sentinel_tls is None else self.sentinel_tls == "yes",
            db=0,
            timeout=self.connect_timeout,
        )

    @classmethod
    def parse(cls, url: str) -> RedisOptions:
        """Read a URL.

        Raises:
            ConfigError: every problem of the URL at once.
        """
        scheme, _, rest = url.partition("://")
        rest, _, query = rest.partition("?")
        login_and_places, _, path = rest.partition("/")
        protocol, _, topology = scheme.lower().partition("+")
        topology = topology or SINGLE
        if topology not in _FORMS:
            raise ConfigError(f"{_shown(url)} begins with no scheme of Redis. Write {' or '.join(_FORMS.values())}.")
        login, _, places = login_and_places.rpartition("@")
        username, _, password = login.partition(":")
        values: dict[str, Any] = {
            "topology": topology,
            "tls": protocol in {"rediss", "valkeys"},
            "username": unquote(username) or None,
            "password": unquote(password) or None,
        }
        problems: list[str] = []
        try:
            found = [Address.parse(place, _PORTS[topology]) for place in places.split(",")]
        except ValueError as error:
            problems.append(f"{_shown(url)} is no URL: {error}. Write {_FORMS[topology]}.")
        else:
            values["addresses"] = tuple(found)
            if topology == SINGLE and len(found) > 1:
                several = f"{_FORMS[SENTINEL]} or {_FORMS[CLUSTER]}"
                problems.append(f"{_shown(url)} names several servers. Write {several}, or one server.")
        problems += _take_path(values, path, url)
        for name, value in parse_qsl(query, keep_blank_values=True):
            problem = _take(values, name, value)
            if problem:
                problems.append(f"{problem} It stands in {_shown(url)}.")
        if problems:
            raise ConfigError(problems)
        return cls(**values)


def _take_path(values: dict[str, Any], path: str, url: str) -> list[str]:
    """Take over what stands behind the addresses; gives what is wrong with it."""
    topology, parts = values["topology"], [unquote(part) for part in path.strip("/").split("/") if part]
    problems = []
    if topology == SENTINEL:
        values["master"] = parts.pop(0) if parts else ""
        if not values["master"]:
            problems.append(
                f"{_shown(url)} lacks the name that the sentinels have for the servers. Write {_FORMS[topology]}."
            )
    database = "/".join(parts)
    if database and not (database.isascii() and database.isdigit()):
        problems.append(f"The database {database!r} in {_shown(url)} is no number. Write {_FORMS[topology]}.")
    elif database:
        values["db"] = int(database)
    return problems


def _take(values: dict[str, Any], name: str, value: str) -> str | None:
    """Take an option over; gives what is wrong with it, or None."""
    if name not in _KNOWN:
        close = difflib.get_close_matches(name, _KNOWN, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(_KNOWN)}."
        return f"Unknown option {name!r}. {hint}"
    if name in _SENTINELS and values["topology"] != SENTINEL:
        return f"{name} is for URLs of sentinels: {_FORMS[SENTINEL]}."
    if name in _CHOICES and value not in _CHOICES[name]:
        return f"{name}={value} must be one of: {', '.join(_CHOICES[name])}."
    if name == "namespace" and not _NAMESPACE.fullmatch(value):
        return f"namespace={value} must be 1 to 100 of: letters, digits and . _ : -"
    if name in _NUMBERS:
        return _take_number(values, name, value)
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


def _take_number(values: dict[str, Any], name: str, value: str) -> str | None:
    least, most = _NUMBERS[name]
    if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
        return f"{name}={value} must be a number from {least} to {most}."
    if name == "db" and values.get("db", int(value)) != int(value):
        return f"db={value} contradicts the database {values['db']} in the path."
    values[name] = int(value)
    return None


def _shown(url: str) -> str:
    """The URL without its passwords."""
    without_login = re.sub(r"(?<=://)([^/@]*:)[^/@]*@", r"\1***@", url)
    return repr(re.sub(r"(?<=password=)[^&]*", "***", without_login))
