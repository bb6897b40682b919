"""A slot of a limit for a block of code that is no job."""

import asyncio

from tidewheel import App, Limit, SlotTimeout

app = App("memory://")


@app.task(concurrency=Limit(1, key="args.tenant", name="api"))
async def sync(tenant: str) -> None: ...


async def page(tenant: str) -> str:
    try:
        async with app.limits.slot("api", key=tenant, wait="50ms"):  # it waits in one line with the jobs
            await asyncio.sleep(0.2)
            return "fresh"
    except SlotTimeout:
        return "from the cache"


async def main() -> None:
    async with app:
        answers = await asyncio.gather(page("acme"), page("acme"), page("bobs"))
        assert sorted(answers) == ["fresh", "fresh", "from the cache"]


asyncio.run(main())
