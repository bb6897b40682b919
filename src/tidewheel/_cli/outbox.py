"""`tidewheel outbox`: the relay of an outbox, as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any, Final

import click

from tidewheel._cli import logs
from tidewheel._cli.errors import OK, USAGE, CliError, did_you_mean
from tidewheel._cli.output import emit, json_option, say
from tidewheel._cli.params import SPAN, Name, examples
from tidewheel._cli.target import without_password

if TYPE_CHECKING:
    from tidewheel import Outbox

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@click.command(epilog=examples("tidewheel outbox shop.jobs:outbox", "tidewheel outbox shop.jobs:outbox --once"))
@click.argument("reference", metavar="OUTBOX")
@click.option(
    "--batch", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Rows at a time, at most."
)
@click.option("--poll", type=SPAN, default="1s", show_default=True, help="How often to look while nothing comes.")
@click.option("--once", is_flag=True, help="Hand over what is there, then end.")
@click.option("--log-level", type=Name(logs.LEVELS), default="info", show_default=True, help="What to log.")
@click.option("--log-format", type=Name(("text", "json")), default="text", show_default=True, help="How, to stderr.")
@json_option
def outbox(reference: str, batch: int, poll: str, once: bool, log_level: str, log_format: str, as_json: bool) -> int:
    """Hand over the jobs of OUTBOX to the store of its app until SIGTERM or Ctrl-C.

    OUTBOX is written module:attribute, as in `shop.jobs:outbox`. Any number of these may run.
    """
    logs.set_up(log_level, log_format)
    found = _load(reference)
    if once:
        moved = asyncio.run(_relay(found, batch))
        if as_json:
            emit({"outbox": reference, "stopped": "stopped", "moved": moved})
        else:
            say(f"{moved} rows handed over.")
        return OK
    say(f"Relaying {found!r} to {without_password(found.app.url)}.", stderr=True)
    asyncio.run(_run(found, batch, poll))
    if as_json:
        emit({"outbox": reference, "stopped": "stopped"})
    return OK


async def _relay(found: Outbox, batch: int) -> int:
    async with found.app:
        return await found.relay(batch=batch)


async def _run(found: Outbox, batch: int, poll: str) -> None:
    async with found.app:
        relay = asyncio.create_task(found.run(batch=batch, poll=poll))
        await asyncio.sleep(0)  # it can be stopped from now on
        before: dict[signal.Signals, Any] = {}
        for number in _SIGNALS:
            with contextlib.suppress(ValueError):  # not in the main thread
                before[number] = signal.signal(number, lambda *_: found.stop())
        try:
            await relay
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _load(reference: str) -> Outbox:
    from tidewheel import Outbox
    from tidewheel._cli.load import load_module

    module, attribute = load_module(reference)
    known = [name for name, value in vars(module).items() if isinstance(value, Outbox)]
    found = getattr(module, attribute, None)
    if isinstance(found, Outbox):
        return found
    near = did_you_mean(attribute, known) or (f"Its outboxes: {', '.join(known)}." if known else "")
    raise CliError(
        f"{reference!r} is no Outbox.",
        remedy=near or f"Write `outbox = Outbox(app, 'postgresql://...')` in {module.__name__!r}.",
        code=USAGE,
    )
