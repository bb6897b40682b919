"""Saying in our words what Redis says in its own: what happened, with which value, and what to do."""

from __future__ import annotations

import os
import ssl
from typing import Final

from tidewheel._model.errors import SchemaMismatch, StoreError, StoreFull, StoreUnavailable
from tidewheel._store.redis.options import CLUSTER, SINGLE, RedisOptions
from tidewheel._store.redis.wire import Garbled, Late, Lost, Refused
from tidewheel._store.tls import remedy

LOST: Final = (Lost, OSError)
"""What is raised when there is no connection, or none any more."""
FAILURES: Final = (Refused, Garbled, Late, *LOST)
"""Everything that `translated` takes."""
_NO_TLS: Final = "If the server does not speak TLS, write redis:// instead of rediss://."
_AWAY: Final = ("LOADING", "BUSY", "CLUSTERDOWN", "MASTERDOWN", "NOSCRIPT", "UNKILLABLE")
_CROWDED: Final = "max number of clients reached"
NO_PASSWORD_WANTED: Final = "without any password configured"  # noqa: S105 -- what a server says


def translated(error: BaseException, options: RedisOptions, place: str | None = None) -> StoreError:
    """Our error for one of a connection's, with the server (`place`: the one of the URL) and the remedy."""
    where = place or options.place
    return (
        _who_we_are(error, options, where)
        or _where_it_is(error, options, where)
        or _how_it_is(error, options, where)
        or _what_is_there(error, options, where)
    )


def _who_we_are(error: BaseException, options: RedisOptions, place: str) -> StoreError | None:
    """Credentials, rights, database, encryption."""
    code, text = _code(error), str(error)
    if code in {"WRONGPASS", "NOAUTH"} or NO_PASSWORD_WANTED in text:
        user = options.username or "default"
        said = "no password" if options.password is None else "this password"
        return StoreError(
            f"{place} refuses user {user!r} with {said} ({text}). "
            "Correct the URL: redis://user:password@host:6379/0 (characters such as @ and / written as %40 and %2F)."
        )
    if code == "NOPERM":
        return StoreError(
            f"The rights of user {options.username or 'default'!r} at {place} do not suffice: {text}. Tidewheel needs "
            f"all commands on keys {{{options.namespace}}}:* and channels {{{options.namespace}}}:*, in a rule: "
            f"~{{{options.namespace}}}:* &{{{options.namespace}}}:* +@all -@dangerous +info +config|get"
        )
    if "SELECT is not allowed" in text:
        return StoreError(f"{place} is of a cluster, which has only database 0, not {options.db}: leave it out.")
    if "DB index" in text or "invalid DB" in text:
        return StoreError(f"{place} has no database {options.db} ({text}). Redis has 0 to 15 unless told otherwise.")
    files = [
        file for file in (options.tls_ca, options.tls_cert, options.tls_key) if file and not os.access(file, os.R_OK)
    ]
    if options.tls and files:
        return StoreError(
            f"No encrypted connection to {place}: cannot read {', '.join(files)}. Correct the URL (?tls_ca=FILE)."
        )
    if (failure := _tls_error(error)) is not None:
        hint = _NO_TLS
        if isinstance(failure, ssl.SSLCertVerificationError):
            hint = remedy(failure, trust="?tls_ca=FILE", unchecked="?tls_verify=none")
        return StoreError(f"The encrypted connection to {place} failed: {failure}. {hint}")
    return None


def _where_it_is(error: BaseException, options: RedisOptions, place: str) -> StoreError | None:
    """Servers that hand our keys, or the right to write them, to one another."""
    code, text = _code(error), str(error)
    if code == "READONLY":
        remedy = "Point the URL at the primary server." if options.topology == SINGLE else "A new master is waited for."
        return StoreUnavailable(f"{place} has become a read-only replica. {remedy}")
    if code == "UNBLOCKED":
        return StoreUnavailable(
            f"{place} was made a replica while its own were waited for. The operation may be repeated."
        )
    if code == "NOREPLICAS":
        return StoreUnavailable(
            f"{place} takes no writes, for fewer replicas follow it than its min-replicas-to-write asks for. "
            "Bring them back; the operation may be repeated."
        )
    if code == "MOVED" and options.topology != CLUSTER:
        return StoreError(
            f"{place} is a node of a cluster ({text}). Write {options.in_cluster}, more nodes behind commas."
        )
    if code == "MOVED":
        return StoreUnavailable(
            f"The nodes of {options.place} do not agree who has the namespace {options.namespace!r} ({text}). "
            "The operation may be repeated."
        )
    if code in {"ASK", "TRYAGAIN"}:
        return StoreUnavailable(
            f"{place} is handing the namespace {options.namespace!r} over to another node, key by key; while it does, "
            "nothing is read or written. The operation may be repeated."
        )
    return None


def _how_it_is(error: BaseException, options: RedisOptions, place: str) -> StoreError | None:
    """What may pass: away, busy, full."""
    code, text = _code(error), str(error)
    tls = f" {_NO_TLS}" if options.tls else ""
    if code == "OOM":
        return StoreFull(
            f"The memory of {place} is full ({text}). Nothing was lost and running jobs can end; raise maxmemory, or "
            "let ended jobs go sooner (retention). Callers may try again."
        )
    if code == "MISCONF":
        return StoreFull(
            f"{place} takes no writes because it cannot save its data: {text}. Free some disk space there."
        )
    if code in _AWAY:
        return StoreUnavailable(f"{place} cannot answer now: {text}. The operation may be repeated.")
    if isinstance(error, Late | TimeoutError):
        return StoreUnavailable(
            f"{place} did not answer in time ({text or 'timeout'}). Is it overloaded, or behind a firewall? The limits "
            f"are ?timeout={options.timeout / 1e6:g}s and ?connect_timeout={options.connect_timeout / 1e6:g}s.{tls}"
        )
    if isinstance(error, LOST) or text == _CROWDED:
        if not options.tls and ("reset" in text or "closed" in text):
            tls = " If it speaks TLS, write rediss instead of redis."
        return StoreUnavailable(
            f"{place} cannot be reached ({text}). Is the server running, and the address right?{tls}"
        )
    return None


def _what_is_there(error: BaseException, options: RedisOptions, place: str) -> StoreError:
    """Data that is not ours, a server that is another one."""
    text = str(error)
    if isinstance(error, Garbled):
        return StoreError(f"{place} is no Redis or Valkey server: {text}. Correct host and port in the URL.")
    if text.startswith("LAYOUT "):  # what lib.lua says
        _, schema, ours = text.split()
        return SchemaMismatch(
            f"A newer Tidewheel has brought the namespace {options.namespace!r} at {place} to schema {schema}, which this "
            f"version, made for {ours}, must not touch, and has not. Upgrade Tidewheel on this machine."
        )
    if "WRONGTYPE" in text:
        return StoreError(
            f"A key {{{options.namespace}}}:* at {place} was replaced by something of another program ({text}). "
            "Use a namespace of your own: ?namespace=NAME."
        )
    if "unknown command" in text:
        return StoreError(f"{place} lacks a command ({text}). Tidewheel needs Redis 7 or Valkey 8, or newer.")
    return StoreError(f"{place} refused an operation: {text or type(error).__name__}")


def _code(error: BaseException) -> str:
    return error.code if isinstance(error, Refused) else ""


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """The error of the encryption layer behind this one, if any."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, ssl.SSLError):
            return error
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None
