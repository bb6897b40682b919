"""kill -9 of a relay between its enqueue and its delete, again and again: every row becomes one job."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.servers.postgres import Postgres
from tests.transactions.test_joined import mail

from tidewheel import App, Outbox, PreparedJob

SHOP = """
import os, signal
from tidewheel import App, Outbox
from tidewheel._outbox.relay import Relay

app = App({store!r})
outbox = Outbox(app, {url!r}, table="shop_outbox")

if os.environ.get("KILL"):
    hand_over = Relay._hand_over

    async def killed(self, taken, good):
        await hand_over(self, taken, good)
        os.kill(os.getpid(), signal.SIGKILL)

    Relay._hand_over = killed
"""
ROWS = 40


@pytest.mark.e2e
@pytest.mark.timeout(90)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_killed_relay_doubles_and_loses_nothing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, redis_url: str
) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    if kind == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.url
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP TABLE IF EXISTS shop_outbox")
    (tmp_path / "shop.py").write_text(SHOP.format(store=redis_url, url=url))

    def relay(batch: int, **env: str) -> int:
        command = [sys.executable, "-m", "tidewheel", "outbox", "shop:outbox", "--once", "--batch", str(batch)]
        return subprocess.run(command, cwd=tmp_path, env={**_clean(), **env}, check=False, timeout=60).returncode

    async with App(redis_url) as app:
        send = mail(app)
        outbox = Outbox(app, url, table="shop_outbox")
        await outbox.create_table()
        written = _write(outbox, url, [send.job(str(number)) for number in range(ROWS)])

        assert relay(15, KILL="1") == -signal.SIGKILL
        assert len((await app.jobs.list(limit=1000)).jobs) == 15
        assert relay(25, KILL="1") == -signal.SIGKILL
        assert relay(7) == 0

        page = await app.jobs.list(limit=1000)
        assert [job.id for job in reversed(page.jobs)] == written
        assert await outbox.relay() == 0


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TIDEWHEEL_")}


def _write(outbox: Outbox, url: str, jobs: list[PreparedJob[Any]]) -> list[str]:
    sqlite = url.startswith("sqlite")
    connection: Any = sqlite3.connect(url.removeprefix("sqlite:///")) if sqlite else psycopg.connect(url)
    with closing(connection):
        ids = outbox.enqueue_in(connection, jobs)
        connection.commit()
    return ids
