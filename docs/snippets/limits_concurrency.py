"""So many at once: for each tenant, and of everything that calls one service."""

import asyncio
from collections import Counter

from tidewheel import App, Limit

app = App("memory://")
api = Limit(3, name="api")  # tasks that are given this one share it
running, most = Counter[str](), Counter[str]()


@app.task(concurrency=[Limit(2, key="args.tenant"), api])  # both, or it waits
async def report(tenant: str, month: int) -> str:
    for key in (tenant, "api"):
        running[key] += 1
        most[key] = max(most[key], running[key])
    await asyncio.sleep(0.01)
    running.subtract((tenant, "api"))
    return f"{tenant}-{month}.pdf"


@app.task(concurrency=5)  # the short form: five of this task, wherever they run
async def resize(path: str) -> None: ...


async def main() -> None:
    async with app:
        await app.enqueue_many(report.job(tenant, month) for tenant in ("acme", "bobs") for month in range(1, 13))
        await app.worker(drain_and_exit=True).run()
        assert most == {"acme": 2, "bobs": 2, "api": 3}


asyncio.run(main())
