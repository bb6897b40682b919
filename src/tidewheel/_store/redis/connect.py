"""Opening a connection. What is used of the driver is its `Connection`; its pools do more at every call than we need."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any, Final

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LinkError

from tidewheel._store.redis.address import Address
from tidewheel._store.redis.options import RedisOptions

_VERIFY: Final = {"full": ssl.CERT_REQUIRED, "certificate": ssl.CERT_REQUIRED, "none": ssl.CERT_NONE}
_QUIET: Final = 15.0
"""Seconds without a message after which a server that we listen to is asked whether it is still there."""


def new_link(options: RedisOptions, address: Address) -> Connection:
    """A connection that is not open yet. It never retries by itself: that is decided in `links.py` and in the engine."""
    values: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "db": options.db,
        "username": options.username,
        "password": options.password,
        "socket_timeout": options.timeout / 1_000_000,
        "socket_connect_timeout": options.connect_timeout / 1_000_000,
        "socket_keepalive": True,
        "socket_read_size": 1 << 18,
        "client_name": "tidewheel",
        "driver_info": None,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
    }
    if not options.tls:
        return Connection(**values)
    return SSLConnection(
        **values,
        ssl_cert_reqs=_VERIFY[options.tls_verify],
        ssl_check_hostname=options.tls_verify == "full",
        ssl_ca_certs=options.tls_ca,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
    )


async def ask_once(options: RedisOptions, address: Address, *words: str) -> Any:
    """The answer to one question, over a connection of its own."""
    link = new_link(options, address)
    try:
        await link.connect()  # type: ignore[no-untyped-call]
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
        yield message
