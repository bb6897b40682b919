"""Limits as functions of a connection: their rules, their gates, and starts asked for by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from tidewheel._model.limit import Allowance, GateRow, Hit, LimitRow, gate_key
from tidewheel._model.usher import gate_row, limit_of, rate_of, start_by_hand
from tidewheel._model.worker import Wakeup
from tidewheel._store.postgres import gates
from tidewheel._store.postgres.call import Call, clock
from tidewheel._store.postgres.rows import columns
from tidewheel._store.postgres.sql import with_schema

_encoder: Final = msgspec.json.Encoder()
_Said: TypeAlias = tuple[str | None, str | None]
_WAIT: Final = "3s"
_LIMITS: Final = "SELECT name, declared, operator FROM {schema}.limits"


async def put_limits(call: Call, rows: Sequence[LimitRow], *, declared: bool, now: int | None) -> list[LimitRow]:
    """See `LimitStore.put_limits`."""
    names = sorted({row.name for row in rows})
    call.hints |= {Wakeup.CONTROL, Wakeup.DUE}
    # Every process says on starting what its code declares, mostly nothing new: that is in nobody's way.
    stored = await _stored(call, names)
    answers, said, changed = _put(rows, stored, declared=declared)
    if said == stored and not changed:
        return answers
    async with call.connection.transaction():
        # Who waits for somebody that hangs makes everybody behind him wait, too.
        await call.connection.execute(f"SET LOCAL lock_timeout = '{_WAIT}'")
        await call.connection.execute(call.sql("limits_change"))
        answers, said, changed = _put(rows, await _stored(call, names), declared=declared)
        await call.connection.execute(call.sql("limits_put"), names, *columns(list(said.values()), 2))
        if changed:
            await call.connection.execute(call.sql("limits_wake"), now, sorted(changed))
    return answers


async def _stored(call: Call, names: Sequence[str]) -> dict[str, _Said]:
    """What is said of limits, by name: declared and by the operator, as JSON."""
    found = await call.connection.fetch(with_schema(f"{_LIMITS} WHERE name = ANY ($1::text[])", call.schema), names)
    return dict.fromkeys(names, (None, None)) | {name: (words, word) for name, words, word in found}


def _put(
    rows: Sequence[LimitRow], stored: Mapping[str, _Said], *, declared: bool
) -> tuple[list[LimitRow], dict[str, _Said], set[str]]:
    """The answers, what is said from now on, and the names whose gates are to be looked at."""
    said, answers, changed = dict(stored), [], set[str]()
    for row in rows:
        before = said[row.name]
        rule = row.declared if declared else row.operator
        text = None if rule is None else _encoder.encode(rule).decode()
        said[row.name] = after = (text, before[1]) if declared else (before[0], text)
        if limit_of(row.name) != row.name or gates.rule_of(*after, None) != gates.rule_of(*before, None):
            changed.add(row.name)
        answers.append(_row(row.name, *after))
    return answers, said, changed


def _row(name: str, declared: str | None, operator: str | None) -> LimitRow:
    return LimitRow(name=name, declared=gates.said_of(declared), operator=gates.said_of(operator))


async def limits(call: Call) -> list[LimitRow]:
    """See `LimitStore.limits`."""
    return [_row(*row) for row in await call.connection.fetch(with_schema(f"{_LIMITS} ORDER BY name", call.schema))]


async def list_gates(
    call: Call, named: Sequence[str], keys: Sequence[str], limit: int, now: int | None
) -> list[GateRow]:
    """See `LimitStore.gates`."""
    found = await call.connection.fetch(call.sql("gates_list"), list(named), list(keys), limit)
    if not found:
        return []
    moment = await clock(call, now)
    seen = gates.Locked()
    seen.read(found)
    held = [gate.holder for gate in seen.gates.values() if gate.holder is not None]
    turns = with_schema("SELECT seq, id FROM {schema}.jobs WHERE seq = ANY ($1::bigint[])", call.schema)
    ids = {row[0]: row[1] for row in await call.connection.fetch(turns, held)} if held else {}
    return [gate_row(key, seen.rules[key], gate, moment, ids.get(gate.holder)) for key, gate in seen.gates.items()]


async def hit(call: Call, hits: Sequence[Hit], now: int | None) -> list[Allowance]:
    """See `LimitStore.hit`."""
    asked = [gate_key(one.limit, one.value) for one in hits]
    async with call.connection.transaction():
        moment = await gates.calm(call, now)
        locked = await gates.lock(call, asked)
        rules = [rate_of(one, locked.rules[key]) for one, key in zip(hits, asked, strict=True)]
        answers = [
            start_by_hand(rule, locked.gates[key], one.cost, moment)
            for one, key, rule in zip(hits, asked, rules, strict=True)
        ]
        await gates.write(call, locked)
    return answers
