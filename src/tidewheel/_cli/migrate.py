"""`tidewheel migrate`: the store's tables."""

from __future__ import annotations

import asyncio

import click

from tidewheel._cli.output import emit, json_option, say
from tidewheel._cli.params import examples, store_options
from tidewheel._cli.target import find_app, without_password


@click.command(epilog=examples("tidewheel migrate --store sqlite:///jobs.db"))
@store_options
@json_option
def migrate(app: str | None, store: str | None, as_json: bool) -> int:
    """Create the store's tables or bring them up to date. Safe to repeat and to run twice at once."""
    found = find_app(app, store)
    before, after = asyncio.run(found.migrate())
    url = without_password(found.url)
    if as_json:
        emit({"store": url, "before": before, "after": after})
    elif before == after:
        say(f"{url} is up to date: schema {after}.")
    else:
        say(f"{url} migrated: schema {before} → {after}.")
    return 0
