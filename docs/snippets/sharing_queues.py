"""Queues that share a worker's slots by weight."""

import asyncio
from collections import Counter

from tidewheel import App

app = App("memory://")
started: list[str] = []


@app.task
async def send(queue: str) -> None:
    started.append(queue)


async def main() -> None:
    async with app:
        for queue in ("low", "high"):
            await app.enqueue_many(send.options(queue=queue).job(queue) for _ in range(600))
        await app.worker(queues={"high": 5, "low": 1}, drain_and_exit=True).run()
        first = Counter(started[:600])
        assert first["high"] > 4 * first["low"] > 0  # of six starts five are of "high"
        assert Counter(started) == {"high": 600, "low": 600}  # then "low" had all slots


asyncio.run(main())
