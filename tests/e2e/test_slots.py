"""A slot held by hand comes back when its holder is killed, on every store, where no worker runs."""

from __future__ import annotations

import asyncio

import pytest
from tests.e2e._harness import PATIENCE, Site

from tidewheel import App, Limit, SlotTimeout
from tidewheel import _slots as slots_module
from tidewheel._model.duration import SECOND

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

HOLDER = """
import asyncio, sys
from tidewheel import _slots
from tests.e2e.test_slots import build
_slots._LEASE = 1_000_000

async def main():
    async with build(sys.argv[1]) as app, app.limits.slot("api", key="acme"):
        print("held", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def build(url: str) -> App:
    app = App(url)
    app.task(concurrency=Limit(1, key="args.tenant", name="api"))(work)
    return app


async def work(tenant: str) -> None: ...


async def test_a_killed_holder_loses_its_slot_and_a_living_one_keeps_it(
    site: Site, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots_module, "_LEASE", SECOND)
    async with build(url) as app:
        await app.ready()
        holder = site.start(["-c", HOLDER, url])
        await holder.said("held")
        with pytest.raises(SlotTimeout):  # longer than a lease: it is extended
            await app.limits.slot("api", key="acme", wait="1.2s").acquire()
        async with app.limits.slot("api", key="bobs", wait=0):
            pass
        waiting = asyncio.create_task(app.limits.slot("api", key="acme", wait=PATIENCE).acquire())
        await asyncio.to_thread(holder.kill)
        await waiting
