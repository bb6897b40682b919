"""Opening a connection. What is used of the driver is its `Connection`; its pools do more at every call than we need."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LinkError
from redis.exceptions import TimeoutError as LateError

from tidewheel._store.redis.address import Address
from tidewheel._store.redis.options import RedisOptions

_VERIFY: Final = {"full": ssl.CERT_REQUIRED, "certificate": ssl.CERT_REQUIRED, "none": ssl.CERT_NONE}
_QUIET: Final = 15.0
"""Seconds without a message after which a server that we listen to is asked whether it is still there."""


class _Link(Connection):
    """uvloop has a RuntimeError for a connection that was reset while it rested; here that is what it is, a lost one."""

    async def send_packed_command(self, *words: Any, **options: Any) -> None:
        try:
            await super().send_packed_command(*words, **options)
        except RuntimeError as error:
            raise LinkError(str(error)) from error


class _SecureLink(_Link, SSLConnection):
    """The same, encrypted."""


async def connected(options: RedisOptions, address: Address) -> Connection:
    """An open connection, which the caller closes. It waits for ever and never retries: that is decided by its user.

    (The driver's own limits run every command as a task of its own, and on Python 3.11 may swallow a cancellation.)

    Raises:
        redis.exceptions.RedisError: there is none.
    """
    values: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "db": options.db,
        "username": options.username,
        "password": options.password,
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "socket_keepalive": True,
        "socket_read_size": 1 << 18,
        "client_name": "tidewheel",
        "driver_info": None,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
    }
    if options.tls:
        link: Connection = _SecureLink(
            **values,
            ssl_cert_reqs=_VERIFY[options.tls_verify],
            ssl_check_hostname=options.tls_verify == "full",
            ssl_ca_certs=options.tls_ca,
            ssl_certfile=options.tls_cert,
            ssl_keyfile=options.tls_key,
        )
    else:
        link = _Link(**values)
    try:
        async with within(options.connect_timeout):
            await link.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        await link.disconnect(nowait=True)
        raise
    return link


@asynccontextmanager
async def within(limit: int) -> AsyncIterator[None]:
    """Give up after so many microseconds.

    Raises:
        redis.exceptions.TimeoutError: they are over.
    """
    try:
        async with asyncio.timeout(limit / 1_000_000):
            yield
    except TimeoutError:
        raise LateError("timeout") from None


async def ask_once(options: RedisOptions, address: Address, *words: str) -> Any:
    """The answer to one question, over a connection of its own."""
    link = await connected(options, address)
    try:
        async with within(options.timeout):
            await link.send_command(*words)
            return await link.read_response()
    finally:
        await link.disconnect(nowait=True)


async def messages(link: Connection, patience: float) -> AsyncIterator[list[bytes]]:
    """What a subscribed connection hears, until it breaks.

    Raises:
        redis.exceptions.RedisError: it broke, or the server answers nothing for `patience` seconds.
    """
    while True:
        message = await link.read_response(timeout=_QUIET)
        if message is None:
            await link.send_command("PING")
            message = await link.read_response(timeout=patience)
            if message is None:
                raise LinkError("it does not answer any more")
        if message[0] != b"pong":
            yield message
