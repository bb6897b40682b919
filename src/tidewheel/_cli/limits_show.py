"""How limits look: the table of `limits list`, the page and the keys of `limits show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidewheel._cli.show import Column, fields, human, print_table, relative, safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from tidewheel import GateRow, LimitRow, Rule


def rule_text(rule: Rule | None) -> str:
    """`5 at once`, `100 per 1m`, `1,000 per 1h (bucket, burst 50), paused`; `-` for nothing."""
    if rule is None:
        return "-"
    said = []
    if rule.slots is not None:
        said.append(f"{rule.slots:,} at once")
    if rule.count is not None or rule.per is not None:
        count = f"{rule.count:,} " if rule.count is not None else ""
        said.append(count + (f"per {human(rule.per)}" if rule.per is not None else "starts"))
    if rule.failures is not None:
        said.append(
            f"shut for {human(rule.open_for or 0)} after {rule.failures:,} failures in {human(rule.within or 0)}"
        )
    more: list[str] = [rule.algorithm] if rule.algorithm and rule.algorithm != "sliding" else []
    more += [f"burst {rule.burst:,}"] if rule.burst is not None else []
    text = " ".join([*said, *([f"({', '.join(more)})"] if more else [])])
    paused = {True: "paused", False: "not paused", None: ""}[rule.paused]
    return ", ".join(part for part in (text, paused) if part) or "-"


def limit_table(rows: Sequence[LimitRow]) -> None:
    """All limits. A key that an operator set apart stands behind its limit, with his word about it."""
    columns = [
        Column[Any]("LIMIT", lambda row: row.name),
        Column[Any]("NOW", _now),
        Column[Any]("DECLARED", lambda row: rule_text(row.declared), rank=2),
        Column[Any]("SET", lambda row: rule_text(row.operator), rank=1),
    ]
    print_table(rows, columns, empty="There are no limits: a worker declares those of its tasks when it starts.")


def _now(row: LimitRow) -> Any:
    from rich.text import Text

    if ":" in row.name:
        rule = row.operator
    elif row.rule is None:
        return Text("not declared: nothing starts", style="yellow")
    else:
        rule = row.rule
    return Text(rule_text(rule), style="yellow" if rule is not None and rule.paused else "")


def limit_page(row: LimitRow) -> RenderableType:
    """What one limit says."""
    return fields(
        [
            ("limit", row.name),
            ("now", _now(row)),
            ("declared", rule_text(row.declared)),
            ("set", rule_text(row.operator)),
        ]
    )


def gate_table(gates: Sequence[GateRow], row: LimitRow, now: int) -> None:
    """Its keys in use."""
    columns = [
        Column[Any]("KEY", _key),
        Column[Any]("RUNNING", lambda gate: f"{gate.used:,}" if _slots(gate) else "-", right=True),
        Column[Any]("ROOM", lambda gate: f"{gate.room:,}", rank=1, right=True),
        Column[Any]("WAITING", lambda gate: "yes" if gate.waiting else "-", rank=2),
        Column[Any]("OPENS", lambda gate: relative(gate.opens_at, now) if gate.opens_at else "-", rank=3),
        Column[Any]("RULE", lambda gate: rule_text(gate.rule) if gate.rule != row.rule else "-", rank=4),
    ]
    print_table(gates, columns, empty="Nothing passed it lately, and nothing waits.")


def _key(gate: GateRow) -> str:
    return safe(gate.key.removeprefix(gate.limit).removeprefix(":")) or "(all)"


def _slots(gate: GateRow) -> bool:
    return gate.rule is None or gate.rule.slots is not None or gate.rule.failures is not None
