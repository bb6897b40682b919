"""The way in a cluster: all keys of a namespace are in one slot, and one node has the slot."""

from __future__ import annotations

import re
from binascii import crc_hqx
from typing import Any, Final

from tidewheel._model.errors import StoreError, StoreUnavailable
from tidewheel._store.redis.address import Address
from tidewheel._store.redis.connect import ask_once
from tidewheel._store.redis.errors import FAILURES, translated
from tidewheel._store.redis.options import RedisOptions
from tidewheel._store.redis.route import Route
from tidewheel._store.redis.wire import Refused

_SLOTS: Final = 16384
_MOVED: Final = re.compile(r"MOVED \d+ (?P<host>\S*):(?P<port>\d+)")


class ClusterRoute(Route):
    """Remembers the node until it was wrong: then the node itself says where the slot went, or the others do."""

    def __init__(self, options: RedisOptions) -> None:
        super().__init__(options)
        self.slot = crc_hqx(options.namespace.encode(), 0) % _SLOTS  # of what stands in the braces of a key
        self._nodes = list(options.addresses)
        """Nodes to ask, first those of the URL, then all that were heard of."""
        self._owner: Address | None = None

    async def find(self) -> Address:
        """See `Route.find`."""
        if self._owner is not None:
            return self._owner
        refusals: list[StoreError] = []
        for node in tuple(self._nodes):
            try:
                self._owner = await self._ask(node)
            except StoreError as error:
                refusals.append(error)
            else:
                return self._owner
        kind = StoreUnavailable if any(error.retriable for error in refusals) else StoreError
        raise kind(
            f"No node of {self.options.place} names the one that has slot {self.slot}, the namespace's. "
            f"{' '.join(map(str, refusals))}"
        ) from refusals[-1]

    def astray(self, error: BaseException, at: Address) -> None:
        """See `Route.astray`."""
        moved = _MOVED.fullmatch(str(error))
        if moved is not None:
            self._owner = Address(moved["host"] or at.host, int(moved["port"]))
        elif self._owner == at:
            self._owner = None
            # It may be cut off from the others and not know it yet: they are asked before it.
            self._nodes.sort(key=lambda node: node == at)

    async def _ask(self, node: Address) -> Address:
        """Which node has the slot, by the word of `node`."""
        try:
            ranges = await ask_once(self.options, node, "CLUSTER", "SLOTS")
        except Refused as error:
            if "cluster support disabled" not in str(error):
                raise translated(error, self.options, f"node {node}") from error
            raise StoreError(
                f"{node} is a server by itself, not of a cluster. Write redis://{node}/{self.options.db}."
            ) from error
        except FAILURES as error:
            raise translated(error, self.options, f"node {node}") from error
        known, owner = [node, *self.options.addresses], None
        for first, last, *nodes in ranges:
            found = [_address(one, node) for one in nodes]  # the master, then its replicas
            known += found
            if first <= self.slot <= last:
                owner = found[0]
        self._nodes = list(dict.fromkeys(known))
        if owner is None:
            raise StoreUnavailable(f"By the word of {node} no node has it. (`redis-cli --cluster check {node}` looks.)")
        return owner


def _address(node: list[Any], teller: Address) -> Address:
    """A node as CLUSTER SLOTS shows it. Without a host it is the one that was asked for."""
    host, port = node[0], node[1]
    return Address(host.decode() if host and host != b"?" else teller.host, int(port))
