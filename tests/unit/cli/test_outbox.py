"""`tidewheel outbox`: hands over, once or until it is stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidewheel import App, Outbox
from tidewheel._cli.errors import OK, STORE, USAGE

Command = Callable[..., Any]
BOX = """
from shop import app, send_welcome
from tidewheel import Outbox

outbox = Outbox(app, "sqlite:///orders.db")
"""


@pytest.fixture
def boxed(shop: Command, tmp_path: Path) -> Command:
    """A module with an outbox, and one row in it."""
    (tmp_path / "box.py").write_text(BOX)
    app = App("memory://")

    @app.task
    def send_welcome(to: str) -> str:
        return to

    outbox = Outbox(app, f"sqlite:///{tmp_path / 'orders.db'}")
    asyncio.run(outbox.create_table())
    connection = sqlite3.connect(tmp_path / "orders.db")
    outbox.enqueue_in(connection, [send_welcome.options(id="mine").job("ada")])
    connection.commit()
    connection.close()
    return shop


def test_once_hands_over_what_is_there(boxed: Command, states: Callable[[], dict[str, str]]) -> None:
    assert boxed("outbox", "box:outbox", "--once", "--json").json == {
        "outbox": "box:outbox",
        "stopped": "stopped",
        "moved": 1,
    }
    assert states() == {"mine": "available"}
    got = boxed("outbox", "box:outbox", "--once")
    assert (got.code, got.out) == (OK, "0 rows handed over.\n")


def test_it_runs_until_it_is_told_to_stop(boxed: Command, states: Callable[[], dict[str, str]], tmp_path: Path) -> None:
    gone = threading.Event()

    def stop_when_empty() -> None:
        connection = sqlite3.connect(tmp_path / "orders.db")
        while connection.execute("SELECT count(*) FROM tidewheel_outbox").fetchone()[0] and not gone.wait(0.002):
            pass
        connection.close()
        os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=stop_when_empty, daemon=True)
    watcher.start()
    got = boxed("outbox", "box:outbox", "--poll", "2ms", "--json")
    gone.set()
    watcher.join()
    assert got.json == {"outbox": "box:outbox", "stopped": "stopped"}
    assert "Relaying <Outbox tidewheel_outbox in sqlite:///orders.db> to sqlite:///shop.db." in got.err
    assert states() == {"mine": "available"}


def test_what_is_no_outbox_is_named(boxed: Command) -> None:
    got = boxed("outbox", "box:outbux")
    assert got.code == USAGE
    assert "'box:outbux' is no Outbox" in got.err
    assert "outbox" in got.err
    assert boxed("outbox", "shop:app").code == USAGE


def test_a_missing_table_is_an_error_of_the_store(boxed: Command, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "orders.db")
    connection.execute("DROP TABLE tidewheel_outbox")
    connection.close()
    got = boxed("outbox", "box:outbox")
    assert got.code == STORE
    assert "outbox.create_table()" in got.err
