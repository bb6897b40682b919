"""`app.limits`: what limits say, how their gates stand, and an operator's word about them."""

from __future__ import annotations

import builtins
import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tidewheel._flows import value_text
from tidewheel._limits import AnyLimit, Limit, sliding_problem, span_problem, whole_problem
from tidewheel._model.duration import Span, micros
from tidewheel._model.errors import ConfigError, LimitNotFound
from tidewheel._model.flow import Pass
from tidewheel._model.gate import capacity
from tidewheel._model.limit import Allowance, GateRow, Hit, LimitRow, Rule, gate_key
from tidewheel._pauses import is_pause
from tidewheel._slots import LONGEST_WAIT, Slot

if TYPE_CHECKING:
    from tidewheel._app import App
    from tidewheel._store.base import Store

_NOTHING: Final = Rule()
_SHOWN: Final = 12


class Limits:
    """Limits by name. A limit exists as soon as a worker or an enqueue of an app with its task declared it.

    Where a method takes a `key` it is about that key alone. An operator's word goes before what the code declares,
    his word about one key before that about the limit; it holds until it is taken back, for jobs that wait already,
    too.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def list(self) -> builtins.list[LimitRow]:
        """Every limit by name: what the code declares and what an operator said. `tenant:acme` is one key of `tenant`."""
        return _sorted((await self._rows(await self._app.opened())).values())

    async def get(self, name: str) -> LimitRow | None:
        """One limit (or `name:key`), or None when there is none."""
        return (await self._rows(await self._app.opened())).get(name)

    async def gates(self, name: str, *, key: object = None, limit: int = 100) -> builtins.list[GateRow]:
        """The keys of a limit that are in use, with what runs, what waits and when they open; at most `limit` (1 to
        1000), in the order of the keys.

        Raises:
            LimitNotFound: there is no such limit.
        """
        store = await self._app.opened()
        await self._known(store, name)
        if key is not None:
            return await store.gates(keys=[self._gate(name, key)], limit=limit)
        return await store.gates(limits=[name], limit=limit)

    async def set(
        self,
        name: str,
        *,
        slots: int | None = None,
        count: int | None = None,
        per: Span | None = None,
        burst: int | None = None,
        key: object = None,
    ) -> LimitRow:
        """Change the numbers of a limit now, for everybody. What is not given stays.

        Args:
            name: the limit.
            slots: for a `Limit`: so many at once.
            count: for a `Rate`: so many starts ...
            per: ... in so long (seconds, or "1m").
            burst: for a bucket: so many at once after a silence.
            key: only for this key.

        Raises:
            LimitNotFound: there is no such limit.
            ConfigError: every value that cannot work, at once. Nothing was changed.
        """
        given = {"slots": slots, "count": count, "per": per, "burst": burst}
        given = {what: value for what, value in given.items() if value is not None}
        store = await self._app.opened()
        rows = await self._known(store, name)
        if problems := _problems(name, given, rows[name].declared, self._app.declarations.limits.get(name)):
            raise ConfigError(problems)
        if per is not None:
            given["per"] = micros(per)
        return await self._say(store, rows, name, key, **given)

    async def clear(self, name: str, *, key: object = None) -> LimitRow:
        """Take back what an operator said, a pause too: it holds what the code declares, for a key what holds for
        the limit.

        Raises:
            LimitNotFound: there is no such limit.
        """
        store = await self._app.opened()
        await self._known(store, name)
        return await self._put(store, LimitRow(name=self._gate(name, key)))

    async def pause(self, name: str, *, key: object = None) -> LimitRow:
        """Let nothing more start through the limit; what runs goes on.

        Raises:
            LimitNotFound: there is no such limit.
        """
        store = await self._app.opened()
        return await self._say(store, await self._known(store, name), name, key, paused=True)

    async def resume(self, name: str, *, key: object = None) -> LimitRow:
        """Let jobs start again. A key that was paused by itself stays so; one key of a paused limit may go on alone.

        Raises:
            LimitNotFound: there is no such limit.
        """
        store = await self._app.opened()
        rows = await self._known(store, name)
        limit = rows[name].operator or _NOTHING
        return await self._say(store, rows, name, key, paused=False if key is not None and limit.paused else None)

    async def hit(self, name: str, *, key: object = None, cost: int = 1) -> Allowance:
        """Take a start from a rate by hand, for work that is no job: a request to a web page, a call in a loop.

        When it is not allowed nothing is taken, and `retry_at` says when to ask again. Asked again after an error it
        may take twice.

        Raises:
            LimitNotFound: there is no such limit.
            ConfigError: it is no rate; a cost that is none, or more than the rate ever has; a key where there is none, none
                where there is one.
        """
        store = await self._app.ready()
        row = (await self._known(store, name))[name]
        problems = whole_problem("cost", cost)
        if row.declared is not None and row.declared.count is None:
            other = "a breaker" if row.declared.failures else f"held, not taken from: app.limits.slot({name!r})"
            problems.append(f"{name!r} is {other}. hit() is for a Rate.")
        elif not problems and (most := max(capacity(one) for one in (row.declared, row.rule) if one)) < cost:
            problems.append(f"cost={cost} never fits: {name!r} has {most:,} at most.")
        if problems:
            raise ConfigError(problems)
        (answer,) = await store.hit([Hit(name, self._asked(name, key), cost)])
        return answer

    def slot(self, name: str, *, key: object = None, wait: Span = "1m") -> Slot:
        """Hold a slot of a `Limit` by hand, for work that is no job: `async with app.limits.slot("api"): ...`.

        It waits in the line with the jobs that need the limit. It is held under a lease, which this process extends: if
        the process dies, or blocks its event loop for longer than 30 s, the slot is given to another one.

        Args:
            name: the limit.
            key: its key, for a limit that has keys.
            wait: so long for a free slot (seconds, or "10s"; at most 24 h); 0: it must be free now.

        Raises:
            SlotTimeout, LimitNotFound, StoreError: from `async with` and `acquire`.
            ConfigError: it is a rate, has an order, or a key where there is none, none where there is one; or a wait
                that is none.
        """
        try:
            span = micros(wait)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"wait: {error}") from None
        if span > LONGEST_WAIT:
            raise ConfigError(f"wait={wait!r} is too long. Give at most 24 h.")
        return Slot(self._app, lambda: self._pass(name, key), span)

    async def _pass(self, name: str, key: object) -> Pass:
        """What a slot of a limit needs."""
        rows = await self._known(await self._app.ready(), name)
        declared, ours = rows[name].declared, self._app.declarations.limits.get(name)
        if declared is not None and declared.failures is not None:
            raise ConfigError(f"{name!r} is a breaker: it has no slots.")
        if declared is not None and declared.slots is None:
            raise ConfigError(f"{name!r} is a rate: nobody holds it. Use app.limits.hit({name!r}).")
        if isinstance(ours, Limit) and ours.order is not None:
            raise ConfigError(f"{name!r} has an order: only jobs can keep a place in it.")
        return Pass(name, self._asked(name, key))

    # -- parts

    async def _rows(self, store: Store) -> dict[str, LimitRow]:
        """What the store has, and what this app declares and will tell it as soon as it puts work in."""
        rows = {name: LimitRow(name=name, declared=one.rule) for name, one in self._app.declarations.limits.items()}
        return rows | {row.name: self._completed(row) for row in await store.limits() if not is_pause(row.name)}

    def _completed(self, row: LimitRow) -> LimitRow:
        """A row of the store, with what this app declares where the store was not told yet."""
        ours = self._app.declarations.limits.get(row.name)
        if row.declared is not None or ours is None:
            return row
        return LimitRow(name=row.name, declared=ours.rule, operator=row.operator)

    async def _known(self, store: Store, name: str) -> dict[str, LimitRow]:
        rows = await self._rows(store)
        if name in rows and ":" not in name:
            return rows
        names = [one for one in rows if ":" not in one]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        raise LimitNotFound(f"There is no limit {name!r}. {_remedy(name, near, names)}")

    def _gate(self, name: str, key: object) -> str:
        return name if key is None else gate_key(name, self._value(name, key))

    def _asked(self, name: str, key: object) -> str:
        """The key that somebody asks for by hand; empty for a limit without keys."""
        ours = self._app.declarations.limits.get(name)
        if ours is not None and ours.key is not None and key is None:
            raise ConfigError(f"The limit {name!r} has keys. Say whose it is: key=...")
        return "" if key is None else self._value(name, key)

    def _value(self, name: str, key: object) -> str:
        ours = self._app.declarations.limits.get(name)
        if ours is not None and ours.key is None:
            raise ConfigError(f"The limit {name!r} has no keys, so key={key!r} means nothing. Leave it out.")
        try:
            return value_text(key)
        except ValueError as error:
            raise ConfigError(f"key={key!r} of the limit {name!r}: {error}.") from None

    async def _say(self, store: Store, rows: dict[str, LimitRow], name: str, key: object, **changes: Any) -> LimitRow:
        """Add to the operator's word."""
        gate = self._gate(name, key)
        said = rows[gate].operator if gate in rows else None
        rule = msgspec.structs.replace(said or _NOTHING, **changes)
        return await self._put(store, LimitRow(name=gate, operator=None if rule == _NOTHING else rule))

    async def _put(self, store: Store, row: LimitRow) -> LimitRow:
        # The store answers with what it has: a row that says nothing any more is gone.
        stored = {one.name: one for one in await store.put_limits([row], declared=False)}
        return self._completed(stored.get(row.name, LimitRow(name=row.name)))


def _sorted(rows: Iterable[LimitRow]) -> builtins.list[LimitRow]:
    return sorted(rows, key=lambda row: row.name)


def _remedy(name: str, near: builtins.list[str], names: builtins.list[str]) -> str:
    if ":" in name:
        return f"For one key of a limit, give the key by itself: key={name.partition(':')[2]!r}."
    if near:
        return f"Did you mean {near[0]!r}?"
    if names:
        return f"There is: {', '.join(sorted(names)[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}."
    return "None was declared yet: a worker does that when it starts, an app when it enqueues."


def _problems(name: str, given: dict[str, Any], declared: Rule | None, ours: AnyLimit | None) -> builtins.list[str]:
    """What is wrong with an operator's numbers. `ours`: what this app declares."""
    if not given:
        return [f"{name}: nothing was given to set. Give slots=, or count= and per=; pause() stops a limit."]
    problems = [
        one for what in ("slots", "count", "burst") if what in given for one in whole_problem(what, given[what])
    ]
    if "per" in given:
        problems += span_problem("per", given["per"])
    rule = declared or _NOTHING
    if "count" in given:
        problems += sliding_problem(given["count"], rule.algorithm if rule.count is not None else "bucket")
    if rule.slots is not None and (wrong := [what for what in given if what != "slots"]):
        problems.append(f"it counts what runs at once, so it has slots, and no {' or '.join(wrong)}.")
    if isinstance(ours, Limit) and ours.order is not None:
        problems.append(
            "it has an order, one job after the other, which stands in the code. pause() and resume() work."
        )
    if rule.failures is not None:
        problems.append("it is a breaker, whose numbers stand in the code. pause() and resume() work.")
    if rule.count is not None and "slots" in given:
        problems.append("it counts starts in a time, so it has count and per, and no slots.")
    if rule.count is not None and rule.algorithm != "bucket" and "burst" in given:
        problems.append(f"it is a {rule.algorithm or 'sliding'} window; only a bucket has a burst.")
    return [f"{name}: {problem}" for problem in problems]
