"""`tidewheel jobs` about jobs that wait for others."""

from __future__ import annotations

import asyncio
import re
import runpy
from collections.abc import Callable
from typing import Any

import pytest

from tidewheel._cli.errors import FAILURE, NOT_FOUND, USAGE

Command = Callable[..., Any]


@pytest.fixture
def graph(shop: Command) -> Command:
    """A store in which the job `last` waits for `good` and `bad`."""
    names = runpy.run_path("shop.py")
    app, send = names["app"], names["send_welcome"]

    async def make() -> None:
        async with app:
            children = [send.options(id=name).job(name) for name in ("good", "bad")]
            await app.enqueue_graph(send.options(id="last").job("last").after(*children))

    asyncio.run(make())
    return shop


def test_a_graph_on_the_page_of_its_last_job(graph: Command) -> None:
    page = graph("jobs", "show", "last").out
    assert "send_welcome  parked until its children have ended" in page
    assert "Children (2 of 2 have not ended)" in page
    assert re.search(r"good +waited for", page)
    graph("jobs", "cancel", "bad")
    page = graph("jobs", "show", "last").out
    assert "Children (1 of 2 have not ended)" in page
    assert "tidewheel.ChildFailed: It waited for bad, which was cancelled" in page
    children = graph("jobs", "show", "last", "--json").json["children"]
    assert [(one["id"], one["state"]) for one in children] == [("good", None), ("bad", "cancelled")]


def test_a_graph_is_cancelled_and_retried_whole(graph: Command) -> None:
    got = graph("jobs", "cancel", "--graph", "last")
    assert got.code == 0
    assert got.out.splitlines() == [
        "last  parked → cancelled", "good  available → cancelled", "bad  available → cancelled",
    ]  # fmt: skip
    assert graph("jobs", "cancel", "--graph", "last").code == FAILURE
    got = graph("jobs", "retry", "--graph", "last", "--json").json
    assert [(one["id"], one["after"]) for one in got["jobs"]] == [
        ("good", "available"), ("bad", "available"), ("last", "parked"),
    ]  # fmt: skip
    assert got["changed"] == 3


def test_a_graph_is_named_by_an_id(graph: Command) -> None:
    got = graph("jobs", "retry", "--graph", "--state", "discarded")
    assert (got.code, "--graph was given without an id" in got.err) == (USAGE, True)
    assert graph("jobs", "cancel", "--graph", "nobody").code == NOT_FOUND
