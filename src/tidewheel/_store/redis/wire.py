"""One connection to a server: questions go out, answers come in, in the same order. The protocol itself is hiredis's.

A lone job waits for four of these crossings. A stream with its reader task, buffers and timeouts, as drivers have it, takes
each of them twice as long as a protocol that hands the answer to who waits for it (docs/adr/0017).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, TypeAlias, cast

import hiredis

from tidewheel._store.redis.address import Address

Words: TypeAlias = tuple[str | bytes | int, ...]

_MOST: Final = 1000
"""Answers that nobody fetched; with more of them nothing is read for a while."""
_NOTHING: Final = object()


class Refused(Exception):
    """The server's answer is an error. `code` is its first word, such as `NOSCRIPT`."""

    def __init__(self, text: str) -> None:
        self.code = text.partition(" ")[0]
        super().__init__(text.removeprefix("ERR "))


class Lost(Exception):
    """The connection is gone. Its cause, if there is one, is what the system said."""


class Garbled(Exception):
    """What came is no answer of a Redis server."""


class Late(Exception):
    """Something took longer than it may."""


class Wire(asyncio.Protocol):
    """A connection, in the event loop that opened it. One task at a time asks, or listens."""

    def __init__(self, address: Address) -> None:
        self.address = address
        """Where it leads."""
        self._reader = hiredis.Reader(replyError=Refused, notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._answers = deque[Any]()
        self._waiter: asyncio.Future[None] | None = None
        self._lost: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._gone = self._loop.create_future()
        self._paused = False
        self._end = 0.0
        self._rings_at = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        """One for many answers: most are there long before, and to set and to stop a timer for each costs as much as the
        rest of the wait.
        """

    @property
    def open(self) -> bool:
        """Whether something can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, *questions: Words) -> None:
        """Send commands, in one piece.

        Raises:
            Lost, Garbled: the connection is gone.
        """
        if self._transport is None or self._transport.is_closing():
            raise self._farewell()
        # The stub of the function has tuples of one word only.
        self._transport.write(b"".join(hiredis.pack_command(words) for words in questions))  # type: ignore[arg-type]

    @property
    def unread(self) -> bool:
        """Whether there are answers that nobody fetched."""
        return bool(self._answers)

    async def answer(self, end: float) -> Any:
        """The next answer; one that is an error is given, not raised.

        Raises:
            Late: there is none until `end`, by the loop's clock.
            Lost: the connection is gone.
            Garbled: something else has come; the connection is gone, too.
        """
        while not self._answers:
            if self._gone.done():
                raise self._farewell()
            self._waiter = self._loop.create_future()
            self._end = end
            if self._alarm is None or self._rings_at > end:
                self._set_alarm()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._paused and len(self._answers) <= _MOST // 2:
            self._hold(paused=False)
        return self._answers.popleft()

    async def ask(self, end: float, *words: str | bytes | int) -> Any:
        """Send a command; gives its answer.

        Raises:
            Refused: the answer is an error.
            Late, Lost, Garbled: see `answer`.
        """
        self.send(words)
        answer = await self.answer(end)
        if isinstance(answer, Refused):
            raise answer
        return answer

    def abort(self) -> None:
        """Close it at once. Answers that are on their way are lost."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Close it, and wait for that. Over TLS the server has its say, too."""
        if self._transport is not None:
            self._transport.close()
            await asyncio.shield(self._gone)

    # -- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _NOTHING:
                self._answers.append(answer)
        except hiredis.HiredisError as error:
            self._lost = Garbled(f"it does not speak Redis's protocol ({error})")
            self.abort()
            return
        if self._answers:  # not for each piece of a long one
            self._wake()
        if len(self._answers) > _MOST and not self._paused:
            self._hold(paused=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._lost = self._lost or exc
        if self._alarm is not None:
            self._alarm.cancel()
        if not self._gone.done():
            self._gone.set_result(None)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._rings_at = self._end
        self._alarm = self._loop.call_at(self._end, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._end:
            self._set_alarm()
        else:
            self._waiter.set_exception(Late("timeout"))

    def _hold(self, *, paused: bool) -> None:
        self._paused = paused
        if self._transport is not None and not self._transport.is_closing():
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    def _farewell(self) -> Exception:
        if isinstance(self._lost, Garbled):
            return self._lost
        error = Lost(str(self._lost or "the server closed the connection"))
        error.__cause__ = self._lost
        return error
