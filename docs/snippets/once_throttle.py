"""So many in a window; the rest is dropped, and the caller told."""

import asyncio

from tidewheel import App, Throttle

app = App("memory://")


@app.task(throttle=Throttle(2, per="1h", key="args.user"))
async def export(user: str, table: str) -> None: ...


async def page(user: str, table: str) -> str:
    job = await export.enqueue(user, table)
    if job.created:
        return f"started, {job.remaining} left"
    return f"too many: job {job.id} was the last"  # job.reset_at: when the next window may begin, in microseconds


async def main() -> None:
    async with app:
        assert [await page("ada", table) for table in ("orders", "users")] == ["started, 1 left", "started, 0 left"]
        assert (await page("ada", "stock")).startswith("too many")
        assert await page("bob", "stock") == "started, 1 left"


asyncio.run(main())
