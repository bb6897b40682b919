"""`tidewheel limits`: list, show, set, clear, pause, resume."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import click

from tidewheel._cli.limits_show import gate_table, limit_page, limit_table, rule_text
from tidewheel._cli.output import emit, json_option, say
from tidewheel._cli.params import SPAN, examples, store_options
from tidewheel._cli.root import LazyGroup
from tidewheel._cli.show import safe, wall_clock
from tidewheel._cli.target import ask, unknown

if TYPE_CHECKING:
    from tidewheel import App, GateRow, LimitRow

COMMANDS: Final = {
    "list": ("limits:list_limits", "List limits with what holds now."),
    "show": ("limits:show", "Show one limit and its keys in use."),
    "set": ("limits:set_limit", "Change the numbers of a limit, or of one key."),
    "clear": ("limits:clear", "Take back what was set or paused."),
    "pause": ("limits:pause", "Let nothing start through limits; what runs goes on."),
    "resume": ("limits:resume", "Let jobs start through paused limits again."),
}
_KEY: Final = click.option("--key", metavar="KEY", help="This key of the limit alone.")


@click.group(cls=LazyGroup, lazy=COMMANDS)
def limits() -> None:
    """List, show, set, clear, pause and resume limits."""


@click.command("list", epilog=examples("tidewheel limits list --app shop.jobs:app"))
@store_options
@json_option
def list_limits(app: str | None, store: str | None, as_json: bool) -> int:
    """List limits: what holds now, what the code declares, what was set."""
    found = ask(app, store, _rows)
    if as_json:
        emit({"limits": [_plain(row) for row in found]})
        return 0
    limit_table(found)
    return 0


async def _rows(app: App) -> list[LimitRow]:
    return list(await app.limits.list())


@click.command(epilog=examples("tidewheel limits show api --app shop.jobs:app", "tidewheel limits show api --key acme"))
@click.argument("name", metavar="LIMIT")
@_KEY
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many keys.")
@store_options
@json_option
def show(app: str | None, store: str | None, name: str, key: str | None, limit: int, as_json: bool) -> int:
    """Show one limit, its keys in use (what runs, what waits, when they open), and those for which something was set."""

    async def question(found: App) -> tuple[LimitRow, list[GateRow], list[LimitRow]]:
        row = await _one(found, name)
        gates = await found.limits.gates(name, key=key, limit=limit)
        own = [
            one for one in await found.limits.list() if one.name.startswith(f"{name}:") and key in (None, _key_of(one))
        ]
        return row, list(gates), own

    row, gates, own = ask(app, store, question)
    if as_json:
        emit(_plain(row) | {"gates": [_plain_gate(gate) for gate in gates], "set_keys": [_plain(one) for one in own]})
        return 0
    say(limit_page(row))
    gate_table(gates, row, wall_clock())
    if len(gates) == limit:
        say(f"These are the first {limit}; --limit shows more.")
    in_use = {gate.key for gate in gates}
    for one in [one for one in own if one.name not in in_use][:limit]:
        say(f"{safe(_key_of(one))}: not in use; set to {rule_text(one.operator)}.")
    return 0


def _key_of(row: LimitRow) -> str:
    return row.name.partition(":")[2]


async def _one(app: App, name: str) -> LimitRow:
    rows = {row.name: row for row in await app.limits.list()}
    if name not in rows or ":" in name:
        raise unknown("limit", name, [one for one in rows if ":" not in one])
    return rows[name]


def _changing(
    act: Callable[..., Awaitable[LimitRow]], app: str | None, store: str | None, name: str, given: dict[str, Any]
) -> LimitRow:
    async def question(found: App) -> LimitRow:
        await _one(found, name)
        return await act(found, name, given)

    return ask(app, store, question)


@click.command(
    "set",
    epilog=examples(
        "tidewheel limits set api --slots 3 --app shop.jobs:app",
        "tidewheel limits set vendor --count 50 --per 1m --key acme --app shop.jobs:app",
    ),
)
@click.argument("name", metavar="LIMIT")
@click.option("--slots", type=int, help="So many at once.")
@click.option("--count", type=int, help="So many starts ...")
@click.option("--per", type=SPAN, help="... in so long (1s, 1m, 24h).")
@click.option("--burst", type=int, help="For a bucket: so many at once after a silence.")
@_KEY
@store_options
@json_option
def set_limit(
    app: str | None, store: str | None, name: str, key: str | None, as_json: bool, **given: int | str | None
) -> int:
    """Change the numbers of a limit, or of one key, at once and for all workers. What is not given stays.

    It goes before what the code declares, until it is taken back with `clear`.
    """

    async def act(found: App, name: str, given: dict[str, Any]) -> LimitRow:
        return await found.limits.set(name, key=key, **given)

    row = _changing(act, app, store, name, given)
    return _tell(row, f"set to {rule_text(row.operator)}", as_json=as_json)


@click.command(epilog=examples("tidewheel limits clear api --app shop.jobs:app"))
@click.argument("name", metavar="LIMIT")
@_KEY
@store_options
@json_option
def clear(app: str | None, store: str | None, name: str, key: str | None, as_json: bool) -> int:
    """Take back what was set or paused: it holds what the code declares, for a key what holds for the limit."""

    async def act(found: App, name: str, _given: dict[str, Any]) -> LimitRow:
        return await found.limits.clear(name, key=key)

    row = _changing(act, app, store, name, {})
    what = "what holds for the limit" if ":" in row.name else rule_text(row.rule) if row.rule else "nothing is declared"
    return _tell(row, f"cleared; it is {what}", as_json=as_json)


def _switch(verb: str, done: str, text: str, line: str) -> click.Command:
    @click.command(verb, help=text, epilog=examples(line))
    @click.argument("names", metavar="LIMIT...", nargs=-1, required=True)
    @_KEY
    @store_options
    @json_option
    def command(app: str | None, store: str | None, names: tuple[str, ...], key: str | None, as_json: bool) -> int:
        async def question(found: App) -> list[LimitRow]:
            for name in names:  # all of them, before the first is changed
                await _one(found, name)
            act = found.limits.pause if verb == "pause" else found.limits.resume
            return [await act(name, key=key) for name in names]

        rows = ask(app, store, question)
        if as_json:
            emit({"limits": [_plain(row) for row in rows]})
            return 0
        for row in rows:
            say(f"{row.name}: {done}.")
        return 0

    return command


pause = _switch(
    "pause",
    "paused; what runs goes on, nothing new starts",
    "Let nothing start through limits, or through one key of them, everywhere. What runs goes on.",
    "tidewheel limits pause api --key acme --app shop.jobs:app",
)
resume = _switch(
    "resume",
    "resumed",
    "Let jobs start through paused limits, or one key of them, again.",
    "tidewheel limits resume api --key acme --app shop.jobs:app",
)


def _tell(row: LimitRow, done: str, *, as_json: bool) -> int:
    if as_json:
        emit(_plain(row))
    else:
        say(f"{row.name}: {done}.")
    return 0


def _plain(row: LimitRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "rule": _plain_rule(row.rule),
        "declared": _plain_rule(row.declared),
        "operator": _plain_rule(row.operator),
    }


def _plain_gate(gate: GateRow) -> dict[str, Any]:
    from tidewheel._cli import plain

    return plain.plain(gate) | {"rule": _plain_rule(gate.rule)}  # type: ignore[no-any-return]


def _plain_rule(rule: Any) -> dict[str, Any] | None:
    """What the rule says; its time in seconds, as everywhere in JSON."""
    if rule is None:
        return None
    said = {name: value for name in rule.__struct_fields__ if (value := getattr(rule, name)) is not None}
    for span in said.keys() & {"per", "within", "open_for"}:
        said[span] /= 1_000_000
    return said
