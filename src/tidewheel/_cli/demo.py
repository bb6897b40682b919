"""`tidewheel demo`: the options; the show is `tidewheel._demo`."""

from __future__ import annotations

from pathlib import Path

import click

from tidewheel._cli.output import json_option
from tidewheel._cli.params import examples


@click.command(epilog=examples("tidewheel demo --input ~/Pictures --output /tmp/out"))
@click.option(
    "--input",
    "source",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of your pictures.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("tidewheel-demo"),
    show_default=True,
    help="Where thumbnails, mails and reports go.",
)
@click.option("--store", metavar="URL", help="The store [default: a SQLite file in the output folder].")
@click.option("--fresh", is_flag=True, help="Start over: remove what an earlier run left.")
@click.option("--kill", is_flag=True, help="Kill the worker in the middle and start a second one.")
@click.option("--plain", is_flag=True, help="Lines instead of a live picture.")
@json_option
def demo(
    source: Path | None, output: Path, store: str | None, fresh: bool, kill: bool, plain: bool, as_json: bool
) -> int:
    """Watch real jobs run: thumbnails from pictures, mail over SMTP, reports as CSV and XLSX."""
    from tidewheel._cli.errors import CliError

    try:
        from tidewheel._demo import run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tidewheel"):
            raise
        raise CliError(
            f"The demo needs {error.name!r}, which is not installed.",
            remedy='Install its parts: pip install "tidewheel[demo]"',
        ) from error
    return run.main(input=source, output=output, store=store, fresh=fresh, kill=kill, plain=plain, json=as_json)
