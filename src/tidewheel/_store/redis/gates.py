"""Limits and their gates as the scripts take and give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tidewheel._model.limit import Allowance, GateRow, Hit, LimitRow, Rule, merged
from tidewheel._model.usher import rate_of

_encode: Final = msgspec.json.Encoder().encode
_rule: Final = msgspec.json.Decoder(Rule)
_gate: Final = msgspec.msgpack.Decoder(
    tuple[str, str, int, bool, int, int | None, int | None, str | None, str | bool, str | bool, str | bool]
)
_allowed: Final = msgspec.msgpack.Decoder(list[tuple[bool, int, int | None, int | None]])
_refused: Final = msgspec.msgpack.Decoder(tuple[int, str | bool, str | bool, str | bool])


def rows(limits: Sequence[LimitRow], *, declared: bool) -> list[tuple[str, str | None]]:
    """One side of limits, for put_limits.lua."""
    return [(one.name, _text(one.declared if declared else one.operator)) for one in limits]


def stored(names: Sequence[str], answer: Sequence[Any]) -> list[LimitRow]:
    """What put_limits.lua stored."""
    return [
        LimitRow(name=name, declared=_rule_of(declared), operator=_rule_of(operator))
        for name, (declared, operator) in zip(names, answer, strict=True)
    ]


def listed(answer: Sequence[Sequence[bytes]]) -> list[LimitRow]:
    """All limits, by name."""
    declared, operator = (dict(zip(side[::2], side[1::2], strict=True)) for side in answer)
    return [
        LimitRow(name=name.decode(), declared=_rule_of(declared.get(name)), operator=_rule_of(operator.get(name)))
        for name in sorted(declared | operator)
    ]


def gate(row: bytes) -> GateRow:
    """A gate as list_gates.lua gives it."""
    key, limit, used, waiting, free, at, held, holder, declared, operator, own = _gate.decode(row)
    rule = _holds(declared, operator, own)
    return GateRow(
        key=key,
        limit=limit,
        rule=rule,
        used=used + (holder is not None),
        waiting=waiting,
        room=free,
        opens_at=at,
        shut_until=held,
        holder=holder,
    )


def allowances(asked: Sequence[Hit], answer: bytes) -> list[Allowance]:
    """The answers of hit.lua.

    Raises:
        StoreError: a limit cannot be hit.
    """
    try:
        return [
            Allowance(allowed=free, remaining=left, retry_at=at, reset_at=whole)
            for free, left, at, whole in _allowed.decode(answer)
        ]
    except msgspec.ValidationError:
        number, *words = _refused.decode(answer)
    rate_of(asked[number], _holds(*words))
    raise AssertionError("a rate was refused")  # the script asks what rate_of asks


def _text(rule: Rule | None) -> str | None:
    return None if rule is None else _encode(rule).decode()


def _rule_of(text: bytes | str | bool | None) -> Rule | None:  # noqa: FBT001 -- False is how Lua says none
    """What somebody said, or None; nothing, too, where it cannot be read."""
    try:
        return None if text is None or isinstance(text, bool) else _rule.decode(text)
    except msgspec.MsgspecError:
        return None


def _holds(*words: str | bool) -> Rule | None:
    """The rule that holds by the words of all sides. When one of them cannot be read the gate is shut."""
    rules = [_rule_of(text) for text in words]
    broken = any(text is not False and rule is None for text, rule in zip(words, rules, strict=True))
    return None if broken else merged(*rules)
