"""What kind of server it is: whether it may be used at all, and what it keeps when it falls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tidewheel._model.errors import SchemaMismatch, StoreError, StoreUnavailable
from tidewheel._store.redis.keys import SCHEMA, TYPES, key
from tidewheel._store.redis.links import Links
from tidewheel._store.redis.options import CLUSTER, SINGLE, RedisOptions

_NEEDED: Final = {"redis": 7, "valkey": 8}


@dataclass(frozen=True, slots=True)
class Server:
    """What the server says of itself, as far as it matters here."""

    name: str
    version: str
    facts: dict[str, str]

    @classmethod
    async def ask(cls, links: Links) -> Server:
        """Ask it."""
        answer = await links.call("INFO")
        lines = (line.partition(":") for line in _text(answer).splitlines() if ":" in line)
        facts = {name: value for name, _, value in lines}
        if "valkey_version" in facts:
            return cls("valkey", facts["valkey_version"], facts)
        return cls("redis", facts.get("redis_version", "0"), facts)

    def check(self, options: RedisOptions) -> None:
        """Refuse a server on which jobs would get lost.

        Raises:
            StoreError: too old, a replica, a sentinel, a node of a cluster that the URL does not speak of, or one that
                evicts keys.
            StoreUnavailable: a failover is under way.
        """
        place, name = options.place, self.name.capitalize()
        mode = self.facts.get("server_mode", self.facts.get("redis_mode"))
        if mode == "sentinel":
            raise StoreError(
                f"{place} is a sentinel. Write redis+sentinel://{options.addresses[0]}/NAME-OF-THE-MASTER."
            )
        if int(self.version.partition(".")[0]) < _NEEDED[self.name]:
            raise StoreError(
                f"{place} is {name} {self.version}; Tidewheel needs Redis 7 or Valkey 8, or newer. Upgrade the server."
            )
        if self.facts.get("arch_bits", "64") != "64":
            raise StoreError(
                f"{place} is a 32-bit build, whose scripts count too short for times. Use a 64-bit server."
            )
        if (mode == "cluster" or self.facts.get("cluster_enabled") == "1") and options.topology != CLUSTER:
            raise StoreError(f"{place} is a node of a cluster. Write {options.in_cluster}, more nodes behind commas.")
        if self.facts.get("role") in {"slave", "replica"}:
            self._refuse_replica(options)
        policy = self.facts.get("maxmemory_policy", "noeviction")
        if policy != "noeviction" and options.eviction != "allow":
            raise StoreError(
                f"{place} has maxmemory-policy {policy}: it may throw jobs away when its memory is full. Set it to "
                "noeviction (CONFIG SET maxmemory-policy noeviction, and in the server's configuration), or use a server "
                "of its own for jobs. To take the risk add ?eviction=allow to the store URL."
            )

    def _refuse_replica(self, options: RedisOptions) -> None:
        place = options.place
        primary = f"{self.facts.get('master_host', '?')}:{self.facts.get('master_port', '?')}"
        if options.topology == SINGLE:
            raise StoreError(
                f"{place} is a replica of {primary} and cannot be written. Point the URL at the primary server."
            )
        raise StoreUnavailable(
            f"The server that {place} names is a replica of {primary} now: a failover is under way. Try again."
        )

    async def _failover(self, links: Links) -> str:
        """What a failover may lose; "" where there is none."""
        replicas = int(self.facts.get("connected_slaves", "0"))
        if not replicas:
            alone = " No replica follows it: there is nobody to take over when it is gone."
            return "" if links.options.topology == SINGLE else alone
        if waits := links.options.wait_replicas:
            return (
                f" What was answered is on {waits} of {replicas} {_replicas(replicas)}, too (wait_replicas={waits}): a failover "
                f"to {'it' if replicas == waits == 1 else 'one of those'} loses nothing."
            )
        return (
            " A failover loses what the replicas had not received yet: the last milliseconds when the master crashes, a second or "
            "so when it lives on unseen. Jobs just enqueued are gone then; what was just claimed or has just ended runs again, "
            f"perhaps beside its first run. Remedy: ?wait_replicas=1. {await _cut_off(links)}"
        )

    async def durability(self, links: Links) -> str:
        """A few sentences on what a crash or a failover may lose."""
        failover = await self._failover(links)
        if self.facts.get("aof_enabled") == "1":
            sync = await _setting(links, "appendfsync")
            crash = {
                "always": "A crash of the server or a power failure loses nothing that was answered (AOF, fsync always).",
                "everysec": "A crash of the server's machine may lose about the last second (AOF, fsync every second); "
                "a crash of its process loses nothing.",
                "no": "A crash of the server's machine may lose the last half minute or so (AOF, fsync left to the "
                "system); a crash of its process loses nothing.",
            }.get(sync, "A crash of the server's machine may lose the last moments (AOF; its fsync is not told).")
            return crash + failover
        snapshots = await _setting(links, "save")
        if snapshots:
            return (
                f"A crash of the server loses everything since its last snapshot (RDB only, save {snapshots}). "
                "Set appendonly yes." + failover
            )
        return (
            "A crash or restart of the server may lose every job: it keeps nothing on disk (neither AOF nor snapshots)"
            ". Set appendonly yes." + failover
        )


async def _cut_off(links: Links) -> str:
    """What happens to a master that nobody follows any more."""
    least = await _setting(links, "min-replicas-to-write")
    if least not in {"", "0", "?"}:
        lag = await _setting(links, "min-replicas-max-lag")
        return (
            f"A master that is cut off from its replicas takes no writes after {lag} s (min-replicas-to-write {least})."
        )
    if links.options.topology == CLUSTER:
        return (
            "A master that is cut off from the cluster goes on for its cluster-node-timeout, and all of that is lost."
        )
    return (
        "A master that is cut off from its replicas goes on answering, and all of that is lost: "
        "set min-replicas-to-write 1 and min-replicas-max-lag 10."
    )


async def _setting(links: Links, name: str) -> str:
    """A setting, or "" where it is not told."""
    try:
        answer = await links.call("CONFIG", "GET", name)
    except StoreError as error:
        if error.retriable:
            raise
        return "?"
    return _text(answer[1]) if len(answer) > 1 else ""


async def schema_of(links: Links) -> int:
    """The schema of the namespace, 0 when it is empty.

    Raises:
        SchemaMismatch: keys of our names that we did not make, or a newer schema that this code must not touch.
    """
    options = links.options
    types = {name: _text(await links.call("TYPE", key(options.namespace, name))) for name in TYPES}
    foreign = [name for name, found in types.items() if found not in ("none", TYPES[name])]
    found, least = None, None
    if not foreign:
        found, least = await links.call("HMGET", key(options.namespace, "meta"), "schema", "least")
    if not foreign and found is None:
        foreign = [name for name, kind in types.items() if kind != "none"]
    if foreign or (found is not None and not found.isdigit()):
        names = ", ".join(key(options.namespace, name) for name in foreign[:3]) or key(options.namespace, "meta")
        raise SchemaMismatch(
            f"{options.place} has keys that Tidewheel did not make under its names: {names}. "
            "Choose another namespace (?namespace=NAME), or remove them."
        )
    schema = 0 if found is None else int(found)
    if schema > SCHEMA and int(least or schema) > SCHEMA:
        raise SchemaMismatch(
            f"The namespace {options.namespace!r} at {options.place} has schema {schema}, this version of Tidewheel "
            f"knows {SCHEMA}. Upgrade Tidewheel on this machine; nothing was touched."
        )
    return schema


def check_automatic(schema: int, options: RedisOptions) -> None:
    """Refuse to migrate on opening where the URL says not to; an empty namespace is always set up.

    Raises:
        SchemaMismatch: the schema is older and `migrate=manual`.
    """
    if schema and options.migrate == "manual":
        raise SchemaMismatch(
            f"The namespace {options.namespace!r} at {options.place} has schema {schema}, this version needs {SCHEMA}. "
            "Run `tidewheel migrate`, or leave out ?migrate=manual."
        )


def _replicas(number: int) -> str:
    return "replica" if number == 1 else "replicas"


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
