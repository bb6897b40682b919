"""A connection to Redis, against a server that says what the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any, TypeAlias

import pytest

from tidewheel._store.redis.address import Address
from tidewheel._store.redis.connect import connected, messages
from tidewheel._store.redis.options import RedisOptions
from tidewheel._store.redis.wire import Garbled, Late, Lost, Refused, Wire

pytestmark = pytest.mark.timeout(20)

Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PING = b"*1\r\n$4\r\nPING\r\n"
SOON = 0.05


def after(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[Address]:
    """A server; its end waits until everybody it serves has left."""
    ended: list[asyncio.Event] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over = asyncio.Event()
        ended.append(over)
        with suppress(OSError, asyncio.IncompleteReadError):  # it is we who leave
            await serve(reader, writer)
            await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for over in ended:
            await over.wait()
        await server.wait_closed()


@asynccontextmanager
async def connection(serve: Serve) -> AsyncIterator[Wire]:
    """A connection to a server that greets everybody, then does what the test says."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"tidewheel\r\n")
        writer.write(b"+OK\r\n")
        await serve(reader, writer)

    async with listening(greet) as place:
        wire = await connected(RedisOptions.parse("redis://host"), place)
        try:
            yield wire
        finally:
            wire.abort()


def saying(answer: bytes) -> Serve:
    """It answers the first question with these bytes, then waits."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(PING))
        writer.write(answer)
        await reader.read()

    return serve


class Silence(asyncio.Transport):
    """What is sent is lost; what is heard the test says itself, by `data_received`."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def is_closing(self) -> bool:
        return False


def fed() -> Wire:
    """A connection without a server."""
    wire = Wire(Address("host", 1))
    wire.connection_made(Silence())
    return wire


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_answers_come_in_the_order_of_the_questions_however_they_are_cut() -> None:
    wire = fed()
    for piece in (b"+on", b"e\r\n:2\r\n$5\r\nth", b"ree\r\n*2\r\n$-1\r\n:4\r\n"):
        wire.data_received(piece)
    assert [await wire.answer(after(5)) for _ in range(4)] == [b"one", 2, b"three", [None, 4]]


async def test_a_refusal_is_an_answer_and_has_the_first_word_for_a_name() -> None:
    async with connection(saying(b"-NOSCRIPT No matching script\r\n-ERR unknown command\r\n+PONG\r\n")) as wire:
        with pytest.raises(Refused, match="NOSCRIPT No matching script") as caught:
            await wire.ask(after(5), "PING")
        assert caught.value.code == "NOSCRIPT"
        plain = await wire.answer(after(5))
        assert (type(plain), plain.code, str(plain)) == (Refused, "ERR", "unknown command")
        assert await wire.answer(after(5)) == b"PONG"


async def test_an_answer_that_does_not_come_is_late() -> None:
    async with connection(silent) as wire:
        with pytest.raises(Late):
            await wire.ask(after(SOON), "PING")


async def test_an_answer_that_comes_in_pieces_is_late_as_well() -> None:
    wire = fed()
    waiting = asyncio.create_task(wire.ask(after(SOON), "PING"))
    wire.data_received(b"$100000000\r\n")
    while not waiting.done():
        wire.data_received(b"x")
        await asyncio.sleep(0)
    with pytest.raises(Late):
        await waiting


async def test_a_short_wait_behind_a_long_one_is_short_and_a_long_one_behind_a_short_one_long() -> None:
    wire = fed()
    for said in (b"one", b"two"):
        waiting = asyncio.create_task(wire.answer(after(60)))
        await asyncio.sleep(0)
        wire.data_received(b"+" + said + b"\r\n")
        assert await waiting == said
        with pytest.raises(Late):
            await wire.answer(after(SOON))


async def test_many_answers_take_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(b"+PONG\r\n")

    async with connection(echo) as wire:
        loop, set_ = asyncio.get_running_loop(), list[float]()
        call_at = loop.call_at

        def counted(when: float, *rest: Any, **more: Any) -> asyncio.TimerHandle:
            set_.append(when)
            return call_at(when, *rest, **more)

        monkeypatch.setattr(loop, "call_at", counted)
        for _ in range(50):
            assert await wire.ask(after(60), "PING") == b"PONG"
        assert set_ == []  # the one that the greeting set goes on


@pytest.mark.parametrize("said", [b"", b"+half an ans"])
async def test_a_server_that_goes_away_is_lost_to_who_waits_and_who_asks_later(said: bytes) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(PING))
        writer.write(said)

    async with connection(leave) as wire:
        with pytest.raises(Lost, match="closed the connection"):
            await wire.ask(after(5), "PING")
        with pytest.raises(Lost):
            await wire.ask(after(5), "PING")


async def test_what_was_answered_before_it_went_away_is_heard() -> None:
    async def last_words(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(PING))
        writer.write(b"+one\r\n+two\r\n")

    async with connection(last_words) as wire:
        assert await wire.ask(after(5), "PING") == b"one"
        await wire.close()
        assert await wire.answer(after(5)) == b"two"
        with pytest.raises(Lost):
            await wire.answer(after(5))


async def test_what_is_no_answer_breaks_the_connection_off() -> None:
    async with connection(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as wire:
        for _ in range(2):
            with pytest.raises(Garbled, match="Protocol error"):
                await wire.ask(after(5), "PING")


async def test_who_breaks_it_off_himself_hears_so() -> None:
    async with connection(silent) as wire:
        waiting = asyncio.create_task(wire.ask(after(5), "PING"))
        await asyncio.sleep(0)
        wire.abort()
        with pytest.raises(Lost):
            await waiting
        await wire.close()
        assert not wire.open


async def test_answers_that_nobody_fetches_are_not_read_on_for_ever() -> None:
    sent = asyncio.Event()
    line = b"+" + b"x" * 1000 + b"\r\n"

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(PING))
        for _ in range(50_000):
            writer.write(line)
            await writer.drain()
        sent.set()
        await reader.read()

    async with connection(flood) as wire:
        wire.send(("PING",))
        while not wire._paused:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert not sent.is_set()
        assert len(wire._answers) < 20_000
        for _ in range(50_000):
            assert len(await wire.answer(after(10))) == 1000
        assert sent.is_set()


async def test_login_and_database_are_said_before_anything_else() -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        words: list[bytes] = []
        while words[-2:] != [b"SETNAME", b"tidewheel"]:
            line = await reader.readline()
            if line[:1] not in b"*$":
                words.append(line.strip())
        heard.extend(words)
        writer.write(b"+OK\r\n-ERR DB index is out of range\r\n+OK\r\n")
        await reader.read()

    async with listening(serve) as place:
        with pytest.raises(Refused, match="DB index"):
            await connected(RedisOptions.parse("redis://me:secret@host/9"), place)
    assert b" ".join(heard) == b"AUTH me secret SELECT 9 CLIENT SETNAME tidewheel"


@pytest.mark.parametrize(
    ("said", "raised"),
    [
        (b"-ERR max number of clients reached\r\n", True),
        (b"-DENIED Redis is running in protected mode\r\n", True),
        (b"-NOAUTH Authentication required.\r\n", False),
        (b"-NOPERM this user has no permissions to run the 'client|setname' command\r\n", False),
        (b"-ERR unknown command 'CLIENT'\r\n", False),
    ],
)
async def test_what_a_server_says_at_the_door_is_heard(said: bytes, raised: bool) -> None:
    """But that we may not give a name keeps nobody out, and who we must say first is asked at the first question."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read()

    async with listening(serve) as place:
        with pytest.raises(Refused) if raised else nullcontext():
            (await connected(RedisOptions.parse("redis://host"), place)).abort()


@pytest.mark.parametrize("host", ["x" * 70, "a..b"])
async def test_what_is_no_host_is_a_server_that_is_not_there(host: str) -> None:
    with pytest.raises(OSError, match="label"):
        await connected(RedisOptions.parse("redis://host"), Address(host, 1))


async def test_a_listener_asks_a_quiet_server_whether_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidewheel._store.redis.connect._QUIET", SOON)

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(PING))
        writer.write(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n")
        await reader.read()

    async with connection(once) as wire:
        heard = messages(wire, SOON)
        assert await anext(heard) == [b"message", b"c", b""]
        with pytest.raises(Lost, match="does not answer any more"):
            await anext(heard)
