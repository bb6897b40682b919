"""The code before keeps its promises on today's schema: workers that are not upgraded yet go on."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.servers.postgres import Postgres

from tidewheel._store.ledger import Migration
from tidewheel._store.postgres import schema as postgres_schema
from tidewheel._store.postgres import sql as postgres_sql
from tidewheel._store.sqlite import SqliteStore

pytestmark = pytest.mark.timeout(600)


def test_on_sqlite(before: Path, tmp_path: Path) -> None:
    file = tmp_path / "today.db"
    asyncio.run(SqliteStore(str(file)).migrate())

    _suite_passes(before, tmp_path, UPGRADE_STORE="sqlite", UPGRADE_PLACE=str(file))


def test_on_postgresql(before: Path, tmp_path: Path, postgres: Postgres) -> None:
    file = tmp_path / "schema.sql"
    file.write_text(_statements(postgres_sql.migrations()), encoding="utf-8")

    _suite_passes(before, tmp_path, UPGRADE_STORE="postgres", UPGRADE_PLACE=postgres.url, UPGRADE_SCHEMA=str(file))


def _statements(migrations: Sequence[Migration]) -> str:
    """What makes today's schema, ledger and all, under the name NAME."""
    texts = ["CREATE SCHEMA {schema};", f"{postgres_schema._LEDGER};"]
    for one in migrations:
        row = f"{one.number}, '{one.name}', '{one.checksum}', 0"
        texts += [one.text, f"INSERT INTO {{schema}}.migrations VALUES ({row});"]  # noqa: S608 -- our own
    return postgres_sql.with_schema("\n".join(texts), "NAME")


def _suite_passes(before: Path, folder: Path, **settings: str) -> None:
    # In a folder of its own, so that the fixtures of today's tests are not in the way.
    shutil.copy(Path(__file__).with_name("_suite.py"), folder / "test_suite.py")
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n", encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_suite.py"],
        cwd=folder,
        env={**os.environ, **settings, "PYTHONPATH": str(before)},
        capture_output=True,
        text=True,
        check=False,
    )
    passed = re.search(r"(\d+) passed in", run.stdout)

    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
    assert passed, "some did not run"
    assert int(passed[1]) > 500
