"""`tidewheel version`: what to write into a bug report."""

from __future__ import annotations

import importlib.metadata
import platform
import sys

import click

from tidewheel._cli.output import emit, json_option, say
from tidewheel._cli.params import examples


def installed(package: str) -> str:
    """The version of an installed package; empty when it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


@click.command(epilog=examples("tidewheel version --json"))
@json_option
def version(as_json: bool) -> int:
    """Show the versions of Tidewheel and what it stands on."""
    import sqlite3

    found = {
        "tidewheel": installed("tidewheel"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{sys.platform} {platform.machine()}",
        "sqlite": sqlite3.sqlite_version,
        **{name: installed(name) for name in ("msgspec", "click", "rich", "uvloop")},
    }
    if as_json:
        emit({key: value or None for key, value in found.items()})
        return 0
    from tidewheel._cli.show import fields

    say(fields([(key, value or "not installed") for key, value in found.items()]))
    return 0
