"""`tidewheel demo`: the options; the show is `tidewheel._demo`."""

from __future__ import annotations

from pathlib import Path

import click

from tidewheel._cli.output import json_option
from tidewheel._cli.params import examples


@click.command(
    epilog=examples("tidewheel demo", "tidewheel demo --input ~/Pictures --output /tmp/out", "tidewheel demo --fresh")
)
@click.option(
    "--input",
    "source",
    metavar="DIR",
    type=click.Path(readable=False, path_type=Path),
    help="Your pictures [default: drawn ones].",
)
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(readable=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Where thumbnails, mails and reports go.",
)
@click.option("--store", metavar="URL", help="The store [default: a SQLite file in the output folder].")
@click.option("--fresh", is_flag=True, help="Start over: remove what an earlier run left in the output folder.")
@click.option(
    "--kill/--no-kill", default=True, help="Kill the worker (-9) in the middle and start another one [default: yes]."
)
@click.option("--pictures", type=click.IntRange(1, 1000), default=24, show_default=True, help="How many to draw.")
@click.option("--customers", type=click.IntRange(0, 10_000), default=40, show_default=True, help="How many to mail to.")
@click.option("--plain", is_flag=True, help="Lines instead of a live picture.")
@json_option
def demo(
    source: Path | None,
    output: Path,
    store: str | None,
    fresh: bool,
    kill: bool,
    pictures: int,
    customers: int,
    plain: bool,
    as_json: bool,
) -> int:
    """Watch real jobs run: thumbnails from pictures, mail over SMTP, reports as CSV and XLSX.

    The worker is killed in the middle; the next one finishes. A run that you interrupt goes on when you start it
    again with the same folders.
    """
    from tidewheel._demo import run

    return run.main(
        source,
        output,
        store,
        fresh=fresh,
        kill=kill,
        plain=plain,
        json=as_json,
        pictures=pictures,
        customers=customers,
    )
