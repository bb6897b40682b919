"""A cluster on free loopback ports: three masters, and a replica of the first.

The programs are those of `redis.py`. A node is taken for dead after two seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from redis.crc import key_slot
from tests.servers._process import NoServer, free_port
from tests.servers.redis import Redis
from tests.servers.sentinel import ask, until

SLOTS: Final = 16384
_MASTERS: Final = 3
_SETTINGS: Final = {
    "cluster-enabled": "yes",
    "cluster-node-timeout": "2000",
    "cluster-replica-validity-factor": "0",
    "repl-diskless-sync-delay": "0",
}


class Node(Redis):
    """One server of it. Nodes talk at a port of their own."""

    def __init__(self, source: str) -> None:
        super().__init__(source, settings=_SETTINGS)

    def command(self) -> list[str | Path]:
        return [*super().command(), "--cluster-port", str(free_port())]

    def ask(self, *words: str | int) -> Any:
        """Its answer, or its refusal as an exception."""
        return ask(self.port, *words)

    @property
    def id(self) -> str:
        """Its name in the cluster."""
        return str(self.ask("CLUSTER", "MYID"))

    @property
    def bus(self) -> int:
        """Where it talks to the other nodes."""
        return int(str(self.ask("CONFIG", "GET", "cluster-port")["cluster-port"]))


class Cluster:
    """The nodes: three masters, each with a third of the slots, then the replica of the first. Those two may change
    places.
    """

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    @property
    def pair(self) -> tuple[Node, Node]:
        """The master that has a replica, and the replica."""
        first, last = self.nodes[0], self.nodes[-1]
        return (first, last) if self.owner(0) is first else (last, first)

    @property
    def masters(self) -> list[Node]:
        """The one with a replica first."""
        return [self.pair[0], *self.nodes[1:_MASTERS]]

    @property
    def url(self) -> str:
        """Without namespace."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{one.port}' for one in self.masters)}/"

    def owner(self, slot: int) -> Node:
        """The node that has a slot, by the word of one that is always a master."""
        port = _owner(self.nodes[1], slot)
        return next(one for one in self.nodes if one.port == port)

    def form(self) -> None:
        """Make one cluster of the nodes."""
        first = self.nodes[0]
        share = SLOTS // _MASTERS
        for number, node in enumerate(self.nodes[:_MASTERS]):
            last = SLOTS - 1 if number == _MASTERS - 1 else (number + 1) * share - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", self.nodes.index(node) + 1)
            node.ask("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus)
        until("the nodes meet", lambda: all(_info(node)["cluster_known_nodes"] == "4" for node in self.nodes))
        until("the replica is told", lambda: self.nodes[-1].ask("CLUSTER", "REPLICATE", first.id))
        until("the replica follows", lambda: self.nodes[-1].ask("INFO", "replication")["master_link_status"] == "up")
        until("the cluster is whole", lambda: all(_info(node)["cluster_state"] == "ok" for node in self.nodes))
        until("all know the replica", lambda: all("slave" in str(node.ask("CLUSTER", "NODES")) for node in self.nodes))

    def begin_move(self, slot: int, target: Node) -> Node:
        """Let a slot begin its way to another master; gives the one that has it."""
        source = self.owner(slot)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        return source

    def move_keys(self, slot: int, source: Node, target: Node, count: int = 1000) -> int:
        """Carry some keys over; gives how many there were."""
        keys = source.ask("CLUSTER", "GETKEYSINSLOT", slot, count)
        if keys:
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        return len(keys)

    def end_move(self, slot: int, source: Node, target: Node) -> None:
        """Say that the slot has arrived, to the target first."""
        for node in (target, source, *(one for one in self.masters if one not in (source, target))):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)

    def move(self, slot: int, target: Node) -> None:
        """Move a slot as `redis-cli --cluster reshard` does, key by key."""
        source = self.begin_move(slot, target)
        while self.move_keys(slot, source, target):
            pass
        self.end_move(slot, source, target)

    def change_places(self, replica: Node, slot: int) -> None:
        """Make a replica the master of its master's slots, one of them `slot`; both agree on the moment."""
        until("the replica follows", lambda: replica.ask("INFO", "replication").get("master_link_status") == "up")
        master = self.owner(slot).port
        until("all agree on the slot", lambda: all(_owner(node, slot) == master for node in self.nodes))
        for _ in range(3):  # a server that hears too late gives up after five seconds, and is asked again
            replica.ask("CLUSTER", "FAILOVER")
            deadline = time.monotonic() + 6
            while time.monotonic() < deadline:
                if self.owner(slot) is replica:
                    return
                time.sleep(0.02)
        raise NoServer("The nodes do not change places.")


def slot_of(namespace: str) -> int:
    """The slot of a namespace's keys."""
    return int(key_slot(f"{{{namespace}}}".encode()))


def _info(node: Node) -> dict[str, str]:
    said = node.ask("CLUSTER", "INFO")
    if isinstance(said, dict):
        return said
    return dict(line.split(":", 1) for line in str(said).split() if ":" in line)


def _owner(node: Node, slot: int) -> int:
    for first, last, master, *_ in _ranges(node):
        if first <= slot <= last:
            return int(master[1])
    raise LookupError(slot)


def _ranges(node: Node) -> Iterator[Any]:
    said = node.ask("CLUSTER", "SLOTS")
    if isinstance(said, dict):  # the driver reads it so
        for (first, last), roles in said.items():
            yield first, last, roles["primary"]
    else:
        yield from said


@contextmanager
def running(source: str = "valkey") -> Iterator[Cluster]:
    """A cluster for the time of a block.

    Raises:
        NoServer: it is not here or does not start.
    """
    with ExitStack() as stack:
        nodes = [Node(source) for _ in range(_MASTERS + 1)]
        for node in nodes:
            stack.callback(node.remove)
            node.start()
        cluster = Cluster(nodes)
        cluster.form()
        yield cluster
