"""The way by sentinels: they watch a master and its replicas, and name the one that is the master now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from tidewheel._model.errors import StoreError, StoreUnavailable
from tidewheel._store.redis.address import Address
from tidewheel._store.redis.connect import CREDENTIALS, ask_once, connected, messages
from tidewheel._store.redis.errors import FAILURES, NO_PASSWORD_WANTED, translated
from tidewheel._store.redis.options import RedisOptions
from tidewheel._store.redis.route import Route
from tidewheel._store.redis.wire import Refused

_SWITCH: Final = "+switch-master"
_PAUSE: Final = 1.0
"""Seconds until another sentinel is listened to when one is gone."""


class SentinelRoute(Route):
    """Asks at every new connection. The sentinel that answered stays the first that is asked, until it was wrong."""

    def __init__(self, options: RedisOptions) -> None:
        super().__init__(options)
        self._theirs = options.of_sentinels()
        self._sentinels = list(options.addresses)

    async def find(self) -> Address:
        """See `Route.find`."""
        refusals: list[StoreError] = []
        for number, sentinel in enumerate(tuple(self._sentinels)):
            try:
                found = await self._ask(sentinel)
            except StoreError as error:
                refusals.append(error)
            else:
                self._sentinels = self._sentinels[number:] + self._sentinels[:number]
                return found
        kind = StoreUnavailable if any(error.retriable for error in refusals) else StoreError
        raise kind(
            f"No sentinel of {self.options.place} names the master. {' '.join(map(str, refusals))}"
        ) from refusals[-1]

    def astray(self, error: BaseException, at: Address) -> None:  # noqa: ARG002 -- clusters learn from them
        """See `Route.astray`: perhaps another sentinel knows more."""
        self._sentinels.append(self._sentinels.pop(0))

    async def watch(self, look_again: Callable[[], Awaitable[None]]) -> None:
        """See `Route.watch`. A master that was replaced goes on answering until a sentinel demotes it, perhaps ten
        seconds later, and forgets then what it took. So connections to it must go when the sentinels say so.
        """
        while True:
            sentinel = self._sentinels[0]
            try:
                await self._watch(sentinel, look_again)
            except FAILURES as error:
                self.astray(error, sentinel)
            await asyncio.sleep(_PAUSE)

    async def _watch(self, sentinel: Address, look_again: Callable[[], Awaitable[None]]) -> None:
        link = await connected(self._theirs, sentinel)
        try:
            link.send(("SUBSCRIBE", _SWITCH))
            async for said in messages(link, self._theirs.timeout / 1_000_000):
                if said[0] == b"subscribe" or said[2].split()[0].decode() == self.options.master:
                    self._sentinels.sort(key=lambda one: one != sentinel)  # it knows what others are to learn yet
                    with suppress(StoreError):
                        await look_again()
        finally:
            link.abort()

    async def _ask(self, sentinel: Address) -> Address:
        name, here = self.options.master, f"sentinel {sentinel}"
        try:
            answer = await ask_once(self._theirs, sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
            if answer is not None:
                host, port = answer
                return Address(host.decode(), int(port))
            known = [dict(zip(one[::2], one[1::2], strict=False)) for one in await self._masters(sentinel)]
        except Refused as error:
            if error.code in CREDENTIALS or NO_PASSWORD_WANTED in str(error):
                raise StoreError(
                    f"{here} refuses user {self._theirs.username or 'default'!r} ({error}). Sentinels have credentials "
                    "of their own: ?sentinel_username=…&sentinel_password=…"
                ) from error
            if "unknown command" not in str(error):
                raise translated(error, self._theirs, here) from error
            raise StoreError(f"{sentinel} is no sentinel, but a server. Write redis://{sentinel}/0.") from error
        except FAILURES as error:
            raise translated(error, self._theirs, here) from error
        names = ", ".join(one.get(b"name", b"?").decode() for one in known) or "none"
        raise StoreError(f"{here} does not know {name!r}; it knows: {names}.")

    async def _masters(self, sentinel: Address) -> list[list[bytes]]:
        found: list[list[bytes]] = await ask_once(self._theirs, sentinel, "SENTINEL", "MASTERS")
        return found
