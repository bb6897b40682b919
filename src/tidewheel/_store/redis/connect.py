"""Opening a connection: encryption, who we are, which database."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from tidewheel._store.redis.address import Address
from tidewheel._store.redis.options import RedisOptions
from tidewheel._store.redis.wire import Late, Lost, Refused, Wire, Words

CREDENTIALS: Final = ("WRONGPASS", "NOAUTH", "NOPERM")
"""How a server begins that does not know us, or does not let us do it."""
_QUIET: Final = 15.0
"""Seconds without a message after which a server that we listen to is asked whether it is still there."""


async def connected(options: RedisOptions, address: Address) -> Wire:
    """An open connection, which the caller closes. It waits for ever and never retries: that is decided by its user.

    Raises:
        Refused: the server does not let us in.
        Lost, Late, Garbled, OSError: there is no connection.
    """
    wire: Wire | None = None
    try:
        async with within(options.connect_timeout):
            tls = _tls(options) if options.tls else None
            transport, wire = await asyncio.get_running_loop().create_connection(
                lambda: Wire(address), address.host, address.port, ssl=tls
            )
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            await _introduce(wire, options)
    except UnicodeError as error:  # no name of a host
        raise OSError(str(error)) from error
    except BaseException:
        if wire is not None:
            wire.abort()
        raise
    return wire


def _tls(options: RedisOptions) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.tls_ca)
    context.check_hostname = options.tls_verify == "full"
    context.verify_mode = ssl.CERT_NONE if options.tls_verify == "none" else ssl.CERT_REQUIRED
    if options.tls_cert:
        context.load_cert_chain(options.tls_cert, options.tls_key)
    return context


async def _introduce(wire: Wire, options: RedisOptions) -> None:
    """Say who we are and which database is meant, in one crossing.

    Our name goes with it for people who look at the server's clients, and for what a server says to whom it does not let in at
    all: that is its first answer. Who may not give a name, or has to say first who he is, hears of it at the first question.
    """
    questions: list[Words] = []
    if options.username or options.password:
        named = (options.username,) if options.username else ()
        questions.append(("AUTH", *named, options.password or ""))
    if options.db:
        questions.append(("SELECT", options.db))
    wire.send(*questions, ("CLIENT", "SETNAME", "tidewheel"))
    end = asyncio.get_running_loop().time() + options.connect_timeout / 1_000_000
    *answers, last = [await wire.answer(end) for _ in range(len(questions) + 1)]
    if not (isinstance(last, Refused) and (last.code in CREDENTIALS or "unknown" in str(last))):
        answers.append(last)
    for answer in answers:
        if isinstance(answer, Refused):
            raise answer


@asynccontextmanager
async def within(limit: int) -> AsyncIterator[None]:
    """Give up after so many microseconds.

    Raises:
        Late: they are over.
    """
    try:
        async with asyncio.timeout(limit / 1_000_000):
            yield
    except TimeoutError as error:
        raise Late("timeout") from error


async def ask_once(options: RedisOptions, address: Address, *words: str) -> Any:
    """The answer to one question, over a connection of its own.

    Raises:
        Refused: the answer is an error, or the server does not let us in.
        Lost, Late, OSError: there is no connection, or no answer.
    """
    wire = await connected(options, address)
    try:
        return await wire.ask(asyncio.get_running_loop().time() + options.timeout / 1_000_000, *words)
    finally:
        wire.abort()


async def messages(wire: Wire, patience: float) -> AsyncIterator[list[bytes]]:
    """What a subscribed connection hears, until it breaks.

    Raises:
        Refused: the server does not let us listen.
        Lost: it broke, or the server answers nothing for `patience` seconds.
    """
    clock = asyncio.get_running_loop().time
    while True:
        try:
            message = await wire.answer(clock() + _QUIET)
        except Late:
            message = await _life_sign(wire, clock() + patience)
        if isinstance(message, Refused):
            raise message
        if message[0] != b"pong":
            yield message


async def _life_sign(wire: Wire, end: float) -> Any:
    wire.send(("PING",))
    try:
        return await wire.answer(end)
    except Late:
        raise Lost("it does not answer any more") from None
