"""Priorities that waiting makes up for: nothing waits for ever."""

import asyncio
from datetime import UTC, datetime, timedelta

from tidewheel import App

app = App("memory://")
started: list[str] = []


@app.task(ageing="1m")  # a minute of waiting is worth one step of priority
async def report(name: str) -> None:
    started.append(name)


async def main() -> None:
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    async with app:
        await report.options(priority=100, run_at=an_hour_ago).enqueue("has waited for an hour")
        await report.options(priority=50).enqueue("urgent")
        await report.options(priority=10).enqueue("very urgent")
        await report.options(priority=100).enqueue("new")
        await app.worker(concurrency=1, drain_and_exit=True).run()
    assert started == ["very urgent", "has waited for an hour", "urgent", "new"]


asyncio.run(main())
