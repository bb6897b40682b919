"""Redis: the namespace says which layout it has, and how old the code may be that works on it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis as driver
from tests.servers import redis as servers
from tests.servers._process import wanted
from tests.servers.redis import Redis
from tests.servers.sentinel import ask
from tests.upgrade._machine import Machine, a_parent_is_told_by_todays, finished

from tidewheel import App, JobState, SchemaMismatch
from tidewheel._model.job import NewJob
from tidewheel._model.outcome import Released, Settlement
from tidewheel._model.worker import Want
from tidewheel._store.redis import RedisStore
from tidewheel._store.redis.keys import LEAST, SCHEMA

pytestmark = pytest.mark.timeout(120)
JOBS = 50
_numbers = count(1)


@pytest.fixture(scope="module", params=servers.sources())
def server(request: pytest.FixtureRequest) -> Iterator[Redis]:
    with wanted(servers.running(request.param)) as one:
        yield one


@pytest.fixture
def name() -> str:
    return f"upgrade{next(_numbers)}"


@pytest.fixture
def url(server: Redis, name: str) -> str:
    return f"{server.url}?namespace={name}"


def everything(server: Redis) -> dict[bytes, Any]:
    """All keys, as the server would write them down."""
    with driver.Redis(port=server.port) as link:
        return {key: link.dump(key) for key in link.keys("*")}


async def told(server: Redis, name: str, **marks: int) -> None:
    """The namespace says something else of itself."""
    words = [str(word) for mark in marks.items() for word in mark]
    await asyncio.to_thread(ask, server.port, "HSET", f"{{{name}}}:meta", *words)


def test_the_code_before_goes_on_beside_todays(machine: Machine, url: str) -> None:
    """What is new in this layout are keys that only new jobs use, so machines are upgraded one after the other."""
    machine.run("today", "add", url, str(JOBS))
    machine.run("before", "lose", url)
    machine.run("before", "drain", url)
    once = (JobState.COMPLETED, 1)
    lost = {f"suspect-{number}": (JobState.COMPLETED, 2) for number in (1, 2)}
    assert finished(url) == {f"add-{number}": once for number in range(JOBS)} | lost


def test_what_the_code_before_tells_nobody_is_told_by_todays(machine: Machine, url: str) -> None:
    a_parent_is_told_by_todays(machine, url)


def test_what_the_code_before_left_is_taken_over(machine: Machine, url: str) -> None:
    """Jobs on their last life, too: they wait elsewhere now, and are handed out one at a time."""
    machine.run("before", "seed", url, str(JOBS))
    machine.run("before", "lose", url)
    app = App(url)
    assert app.run_sync(app.migrate()) == (SCHEMA - 1, SCHEMA)
    assert app.run_sync(app.migrate()) == (SCHEMA, SCHEMA)
    found = asyncio.run(_claimed_and_handed_back(url))
    machine.run("today", "drain", url)

    once = (JobState.COMPLETED, 1)
    # Who else waits depends on how long the steps before took.
    assert [id for id in found if id.startswith("suspect")] == found[:1] == ["suspect-1"]
    assert len(found) == 3
    assert finished(url) == {f"wait-{number}": once for number in range(JOBS)} | {
        "ended-plain": once,
        "ended-dead": (JobState.DISCARDED, 1),
        "ended-called-off": (JobState.CANCELLED, 1),
        "again": (JobState.COMPLETED, 2),
        "snoozed": once,
        "late": once,
        "suspect-1": (JobState.COMPLETED, 2),
        "suspect-2": (JobState.COMPLETED, 2),
    }


async def _claimed_and_handed_back(url: str) -> list[str]:
    store = RedisStore(url)
    await store.open()
    found = await store.claim([Want("default", 3)], kinds=["work"], worker="w", lease=60_000_000)
    await store.settle([Settlement(one.lease, Released()) for one in found])
    await store.close()
    return [one.id for one in found]


async def test_a_layout_that_only_adds_is_used_and_left_as_it_is(server: Redis, name: str, url: str) -> None:
    async with App(url) as app:
        await app.info()
        await told(server, name, schema=SCHEMA + 1, least=LEAST)
        assert (await app.info()).schema == SCHEMA + 1
        assert await app.migrate() == (SCHEMA + 1, SCHEMA + 1)
    async with App(url) as app:
        assert (await app.info()).schema == SCHEMA + 1


async def test_a_layout_that_does_more_stops_also_those_who_are_at_work(server: Redis, name: str, url: str) -> None:
    store = RedisStore(url)
    await store.open()
    await store.enqueue([NewJob(id="a", kind="work", args="{}")])
    await told(server, name, schema=SCHEMA + 1, least=SCHEMA + 1)
    there = await asyncio.to_thread(everything, server)

    for call in (
        store.sweep(),
        store.get(["a"]),
        store.claim([Want("default", 1)], kinds=["work"], worker="w", lease=1),
    ):
        with pytest.raises(
            SchemaMismatch, match=rf"schema {SCHEMA + 1}, .* Upgrade Tidewheel on this machine"
        ) as caught:
            await call
        assert not caught.value.retriable
    await store.close()
    with pytest.raises(SchemaMismatch, match=f"has schema {SCHEMA + 1}"):
        await RedisStore(url).open()
    assert await asyncio.to_thread(everything, server) == there


async def test_an_older_one_is_refused_where_migrating_is_manual(server: Redis, name: str, url: str) -> None:
    async with App(url) as app:
        await app.info()
    await told(server, name, schema=SCHEMA - 1)
    with pytest.raises(SchemaMismatch, match=rf"schema {SCHEMA - 1}, .* needs {SCHEMA}\. Run `tidewheel migrate`"):
        async with App(f"{url}&migrate=manual") as app:
            await app.info()


def test_the_code_before_is_one_layout_behind_at_most(before: Path) -> None:
    text = (before / "tidewheel/_store/redis/keys.py").read_text(encoding="utf-8")
    found = re.search(r"^SCHEMA: Final = (\d+)$", text, re.MULTILINE)
    assert found
    assert LEAST <= SCHEMA <= int(found[1]) + 1
