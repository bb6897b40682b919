"""Gates under their locks: what every operation does that judges by limits.

* Locks are taken in this order everywhere: jobs, then gates (sorted by key, all that a transaction needs at once), then
  parked jobs, passing over locked ones. So nobody waits for a job while holding a gate, and there is no circle.
* A gate is read and written under its row's lock, in the transaction that starts or ends the attempt: `used` cannot
  differ from the attempts that run, whoever is killed and wherever.
* No wake-up is lost: a job is parked under a gate while that is locked; who gives it room locks it first and looks for
  parked jobs in a later statement, whose snapshot is newer than the lock.
* Rules are read in a later statement than the one that keeps `put_limits` away (`gates_calm.sql`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import msgspec

from tidewheel._model.flow import readable
from tidewheel._model.gate import Gate
from tidewheel._model.limit import Rule, merged
from tidewheel._model.usher import Ended, give_back, limit_of, look
from tidewheel._model.worker import Wakeup
from tidewheel._store.postgres.call import Call
from tidewheel._store.postgres.rows import columns

if TYPE_CHECKING:
    from tidewheel._store.postgres.connect import Record

_GATE: Final = 8
_SHUT: Final = Rule(paused=True)
_rule: Final = msgspec.json.Decoder(Rule)


class Overtaken(asyncpg.SerializationError):
    """Another transaction made a gate this very moment and holds it: the call begins anew, with no locks."""


class Locked(msgspec.Struct):
    """Gates that this transaction holds, and their rules, by key."""

    gates: dict[str, Gate] = {}
    rules: dict[str, Rule | None] = {}
    _before: dict[str, tuple[Any, ...]] = {}
    """Their columns as they were read."""

    def read(self, rows: Sequence[Record]) -> None:
        """Take over what `gates_lock.sql` gives."""
        for key, used, level, shut_until, waiting, needs, opens_at, holder, *words in rows:
            self.gates[key] = gate = Gate(used, level or [], shut_until, waiting, needs, opens_at, holder)
            self.rules[key] = rule_of(*words)
            self._before[key] = _row(gate)

    def look(self, touched: Collection[str], now: int) -> dict[str, int]:
        """The one look at the end of a call; gives the gates that let jobs in, with their room."""
        rooms = {key: look(self.rules[key], self.gates[key], now) for key in sorted(touched)}
        return {key: room for key, room in rooms.items() if room}

    def changed(self, opening: Mapping[str, int]) -> list[Sequence[Any]]:
        """The gates to write, as `gates_write.sql` takes them. Of those that open now `opens_at` is left to the release."""
        new = []
        for key, gate in self.gates.items():
            row, before = _row(gate), self._before[key]
            if row != before and (key not in opening or row[:-1] != before[:-1]):
                new.append((key, *row))
        return columns(sorted(new), _GATE)

    def due(self) -> bool:
        """Whether a sweep has to look at any of them at another time than it knew."""
        return any(gate.opens_at not in (None, self._before[key][-1]) for key, gate in self.gates.items())


class Held(msgspec.Struct, frozen=True, gc=False):
    """What the end of an attempt says to its gates."""

    flow: str | None
    job: int
    """Its seq."""
    final: bool
    """The job has ended, not only an attempt."""
    ended: Ended
    hold: tuple[str, ...] = ()
    until: int = 0


async def calm(call: Call, now: int | None) -> int:
    """Keep `put_limits` away until the end of the transaction, as its first step; gives now."""
    return int(await call.connection.fetchval(call.sql("gates_calm"), now))


async def lock(call: Call, keys: Iterable[str]) -> Locked:
    """Lock gates, and make those that nobody met before; gives all of them.

    Raises:
        Overtaken: see there.
    """
    asked = sorted(set(keys))
    locked = Locked()
    if not asked:
        return locked
    locked.read(await call.connection.fetch(call.sql("gates_lock"), asked))
    if new := [key for key in asked if key not in locked.gates]:
        locked.read(await call.connection.fetch(call.sql("gates_make"), new, [limit_of(key) for key in new]))
    if new := [key for key in new if key not in locked.gates]:
        # Others made these. Who holds one of them may wait for one that we hold: so we do not wait for him.
        at_once = call.sql("gates_lock").replace("FOR UPDATE", "FOR UPDATE SKIP LOCKED")
        locked.read(await call.connection.fetch(at_once, new))
        if len(locked.gates) < len(asked):
            raise Overtaken("Another transaction was faster.")
    return locked


@lru_cache(maxsize=10_000)
def rule_of(declared: str | None, operator: str | None, own: str | None) -> Rule | None:
    """The rule from its three texts."""
    return merged(said_of(declared), said_of(operator), said_of(own))


def said_of(text: str | None) -> Rule | None:
    """What one of them says. One that cannot be read shuts its gates; the neighbours' stay open."""
    try:
        return None if text is None else _rule.decode(text)
    except msgspec.MsgspecError:
        return _SHUT


def _row(gate: Gate) -> tuple[Any, ...]:
    level = "{" + ",".join(map(str, gate.level)) + "}" if gate.level else None
    return gate.used, level, gate.shut_until, gate.waiting, gate.needs, gate.holder, gate.opens_at


async def release(call: Call, rooms: Mapping[str, int], now: int) -> int:
    """Let jobs back into their lines; gives how many. The gates are written already."""
    if not rooms:
        return 0
    row = await call.connection.fetchrow(call.sql("gates_release"), list(rooms), list(rooms.values()), now)
    assert row is not None  # noqa: S101 -- it counts
    opened, missed = row
    if opened:
        call.hints.add(Wakeup.WORK)
    if missed:
        call.hints.add(Wakeup.DUE)
    return int(opened)


async def open_gates(call: Call, locked: Locked, touched: Collection[str], now: int) -> int:
    """Look, write, release; gives how many jobs were let in."""
    if not touched:
        return 0
    rooms = locked.look(touched, now)
    if locked.due():
        call.hints.add(Wakeup.DUE)
    await write(call, locked, rooms)
    return await release(call, rooms, now)


async def write(call: Call, locked: Locked, opening: Mapping[str, int] = MappingProxyType({})) -> None:
    """Write the gates that changed; see `Locked.changed`."""
    rows = locked.changed(opening)
    if rows[0]:
        await call.connection.execute(call.sql("gates_write"), *rows)


async def look_again(call: Call, keys: Collection[str], now: int) -> int:
    """Look at gates in a transaction of its own."""
    async with call.connection.transaction():
        await calm(call, now)
        return await open_gates(call, await lock(call, keys), keys, now)


async def open_due(call: Call, limit: int, now: int) -> tuple[int, int]:
    """Look at the gates whose time has come; gives how many jobs were let in, and how many gates there were."""
    async with call.connection.transaction():
        keys = [row[0] for row in await call.connection.fetch(call.sql("gates_due"), now, limit)]
        return await open_gates(call, await lock(call, keys), keys, now), len(keys)


async def free(call: Call, held: Iterable[Held], now: int) -> int:
    """What ended attempts held is free again; gives how many jobs that let in. The last step of a transaction that
    began with the calm and has locked the jobs.
    """
    flows = [(flow, one) for one in held if (flow := readable(one.flow)) is not None]
    keys = {step.key for flow, one in flows for step in flow.passes if step.occupies or step.limit in one.hold}
    locked = await lock(call, keys)
    touched = set[str]()
    for flow, one in sorted(flows, key=lambda pair: pair[1].ended == "done"):
        touched |= give_back(
            flow,
            locked.gates,
            job=one.job,
            final=one.final,
            hold=one.hold,
            until=one.until,
            ended=one.ended,
            rules=locked.rules,
            now=now,
        )
    return await open_gates(call, locked, touched, now)
