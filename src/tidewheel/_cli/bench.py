"""`tidewheel bench`: the options; the measuring is `tidewheel._bench`."""

from __future__ import annotations

import click

from tidewheel._cli.output import json_option
from tidewheel._cli.params import examples


@click.command(epilog=examples("tidewheel bench --jobs 50000"))
@click.option("--store", metavar="URL", help="What to measure [default: a SQLite file made for it].")
@click.option(
    "--jobs", type=click.IntRange(100, 10_000_000), default=20_000, show_default=True, help="Jobs per figure."
)
@click.option("--repeat", type=click.IntRange(1, 100), default=3, show_default=True, help="Runs; the medians count.")
@click.option(
    "--concurrency", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Slots of a worker process."
)
@click.option("--limits", is_flag=True, help="Also drain under limits that never bind: one, by 10,000 keys, a rate.")
@json_option
def bench(store: str | None, jobs: int, repeat: int, concurrency: int, limits: bool, as_json: bool) -> int:
    """Measure a store on this machine: enqueue, drain, latency, memory."""
    from tidewheel._bench import run

    return run.main(store, jobs, repeat, concurrency, limits=limits, as_json=as_json)
