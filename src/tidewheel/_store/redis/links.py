"""Connections to one server, for one event loop: a few that ask, each one question at a time.

The driver's own pool does more than we need at every call; what is used of the driver is its `Connection`.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Any, Final

import msgspec
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ResponseError

from tidewheel._model.errors import StoreError
from tidewheel._store.redis.errors import FAILURES, LOST, translated
from tidewheel._store.redis.keys import key
from tidewheel._store.redis.options import RedisOptions
from tidewheel._store.redis.scripts import Script, script

_encode: Final = msgspec.msgpack.Encoder().encode
_VERIFY: Final = {"full": ssl.CERT_REQUIRED, "certificate": ssl.CERT_REQUIRED, "none": ssl.CERT_NONE}


def new_link(options: RedisOptions) -> Connection:
    """A connection that is not open yet. It never retries by itself: that is decided here and in the engine."""
    values: dict[str, Any] = {
        "host": options.host,
        "port": options.port,
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


class Links:
    """The connections of one store in the event loop that made them."""

    def __init__(self, options: RedisOptions) -> None:
        self.options = options
        self.loop = asyncio.get_running_loop()
        self._meta = key(options.namespace, "meta")
        self._room = asyncio.Semaphore(options.connections)
        self._idle: list[Connection] = []
        self._closed = False

    async def run(self, name: str, *ask: Any) -> Any:
        """Call the script `name` with the question `ask`; gives its answer as the server sent it.

        Raises:
            StoreError: any of them; see `errors.py`.
        """
        wanted = script(name)
        question = _encode(ask)
        try:
            try:
                return await self._call("EVALSHA", wanted.digest, "1", self._meta, question)
            except NoScriptError:  # a new server, or one that was told to forget its scripts
                await self._load(wanted)
                return await self._call("EVALSHA", wanted.digest, "1", self._meta, question)
        except FAILURES as error:
            raise translated(error, self.options) from error

    async def call(self, *words: str | bytes | int) -> Any:
        """Send a plain command; gives its answer as the server sent it.

        Raises:
            StoreError: any of them; see `errors.py`.
        """
        try:
            return await self._call(*words)
        except FAILURES as error:
            raise translated(error, self.options) from error

    async def _load(self, wanted: Script) -> None:
        digest = await self._call("SCRIPT", "LOAD", wanted.text)
        if digest != wanted.digest.encode():
            raise StoreError(f"{self.options.place} loaded another script than it was sent: {digest!r}.")

    async def _call(self, *words: str | bytes | int) -> Any:
        async with self._room:
            if self._closed:
                raise StoreError("The store is closed. Open it first.")
            if self._idle:
                with suppress(*LOST):
                    return await self._ask(self._idle.pop(), words)
                # The server went away while the connection rested, or just now. Every operation may be repeated.
                await self._let_go()
            link = new_link(self.options)
            await link.connect()  # type: ignore[no-untyped-call]
            return await self._ask(link, words)

    async def _ask(self, link: Connection, words: tuple[str | bytes | int, ...]) -> Any:
        try:
            await link.send_command(*words)
            answer = await link.read_response()
        except ResponseError:
            self._idle.append(link)
            raise
        except BaseException:  # also when cancelled: the answer would be taken for that of the next question
            await link.disconnect(nowait=True)
            raise
        self._idle.append(link)
        return answer

    async def close(self) -> None:
        """Wait for the calls under way, then close all connections."""
        for _ in range(self.options.connections):
            await self._room.acquire()  # in turn: behind whoever called before
        self._closed = True
        await self._let_go()
        for _ in range(self.options.connections):
            self._room.release()

    async def _let_go(self) -> None:
        idle, self._idle = self._idle, []
        for link in idle:
            with suppress(*FAILURES):
                await link.disconnect()
