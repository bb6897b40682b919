"""The same limits for work that is no job: a web page, a loop."""

import asyncio

from tidewheel import App, Rate

app = App("memory://")


@app.task(rate=Rate(2, per="1h", key="args.user", name="searches"))
async def search(user: str, words: str) -> None: ...


async def page(user: str) -> int:
    answer = await app.limits.hit("searches", key=user)
    return 200 if answer.allowed else 429  # answer.remaining, .retry_at, .reset_at: in microseconds since 1970


async def main() -> None:
    async with app:
        assert [await page("ada") for _ in range(3)] == [200, 200, 429]
        assert await page("bob") == 200


asyncio.run(main())  # in sync code: app.run_sync(app.limits.hit(...))
