"""A tenant that pays for more has more turns, and a job that is more work takes more of them."""

import asyncio
from collections import Counter

from tidewheel import App, Fair

app = App("memory://")
pages_done = Counter[str]()


@app.task(fair=Fair("args.tenant", weights={"acme": 3}, cost="args.pages"))
async def render(tenant: str, pages: int) -> None:
    if sum(pages_done.values()) < 400:  # the first 400 pages, while both have work
        pages_done[tenant] += pages


async def main() -> None:
    async with app:
        await app.enqueue_many(render.job("bobs", pages=1) for _ in range(400))
        await app.enqueue_many(render.job("acme", pages=10) for _ in range(40))
        await app.worker(concurrency=1, drain_and_exit=True).run()
        assert 290 <= pages_done["acme"] <= 310  # three pages for each of "bobs", in jobs of ten


asyncio.run(main())
