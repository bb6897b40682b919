"""The command itself: help, exit codes, errors, what loads when."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest
from tests_cli import Command

from tidewheel import ConfigError, JobNotFound, StoreUnavailable
from tidewheel._cli import deadletters, errors, jobs, queues, root

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def commands(table: Mapping[str, tuple[str, str]] = root.COMMANDS, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    groups = {"jobs": jobs.COMMANDS, "queues": queues.COMMANDS, "deadletters": deadletters.COMMANDS}
    for name, (target, _) in table.items():
        module, _, attribute = target.partition(":")
        found = getattr(importlib.import_module(f"tidewheel._cli.{module}"), attribute)
        if isinstance(found, click.Group):
            yield from commands(groups[name], f"{name} ")
        else:
            yield prefix + name, found
