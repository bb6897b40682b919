"""Tenants take turns: who comes with few jobs does not wait behind one who came with many."""

import asyncio

from tidewheel import App, Fair

app = App("memory://")
started: list[str] = []


@app.task(fair=Fair("args.tenant"))
async def render(tenant: str) -> None:
    started.append(tenant)


async def main() -> None:
    async with app:
        await app.enqueue_many(render.job("large") for _ in range(1000))
        await app.enqueue_many(render.job("small") for _ in range(5))
        await app.worker(concurrency=1, drain_and_exit=True).run()
        assert started[:11].count("small") == 5
        assert started.count("large") == 1000


asyncio.run(main())
