"""The way to the server that has our keys: it may move while we work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tidewheel._store.redis.address import Address
from tidewheel._store.redis.options import RedisOptions


class Route:
    """The way to one server that the URL names. A name may mean another machine tomorrow; connecting finds out."""

    def __init__(self, options: RedisOptions) -> None:
        self.options = options

    async def find(self) -> Address:
        """Where the server is now.

        Raises:
            StoreUnavailable: nobody can say it now.
            StoreError: those who are asked do not know it, or us.
        """
        return self.options.addresses[0]

    def astray(self, error: BaseException, at: Address) -> None:
        """What was found `at` that address was not, or is not any more, a server that serves us: look again."""

    async def watch(self, look_again: Callable[[], Awaitable[None]]) -> None:
        """Call `look_again` whenever somebody says that the keys may have moved, and nobody else would tell us."""
