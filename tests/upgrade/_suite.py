"""The conformance suite of the code before, on the schema of today. Run by `test_before.py` in a process of its own.

UPGRADE_STORE  "sqlite": UPGRADE_PLACE is a file with today's schema, to be copied
               "postgres": UPGRADE_PLACE is a server's URL, UPGRADE_SCHEMA a file of statements that make the schema NAME
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import tidewheel
from tidewheel._env import Env
from tidewheel.testing.conformance import *  # noqa: F403  # the promises, one class per theme

assert Path(tidewheel.__file__).is_relative_to(os.environ["PYTHONPATH"]), "this is not the code before"
_numbers = count(1)


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[[Env], Any]:
    place = os.environ["UPGRADE_PLACE"]
    if os.environ["UPGRADE_STORE"] == "sqlite":
        from tidewheel._store.sqlite import SqliteStore

        return lambda env: SqliteStore(str(shutil.copy(place, tmp_path / f"jobs{next(_numbers)}.db")), env)

    import asyncpg

    from tidewheel._store.postgres import PostgresStore

    text = Path(os.environ["UPGRADE_SCHEMA"]).read_text(encoding="utf-8")

    class Prepared(PostgresStore):
        async def open(self) -> None:
            if self.options.schema not in made:
                made.add(self.options.schema)
                connection = await asyncpg.connect(place)
                await connection.execute(text.replace("NAME", self.options.schema))
                await connection.close()
            await super().open()

    made: set[str] = set()
    return lambda env: Prepared(f"{place}?schema=before_{next(_numbers)}", env)
