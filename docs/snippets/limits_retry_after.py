"""A service says "not before": nobody goes there before that, not only this job."""

import asyncio

from tidewheel import App, Rate, Retry

app = App("memory://")
asked = list[str]()


@app.task(rate=Rate(100, per="1m", key="args.tenant", name="vendor"))
async def push(tenant: str, n: int) -> None:
    asked.append(f"{tenant} {n}")
    if asked == ["acme 1"]:  # say, the answer was 429 with Retry-After: 0.3
        raise Retry("429 Too Many Requests", after=0.3, hold="vendor")


async def main() -> None:
    async with app:
        worker = app.worker(concurrency=1, drain_and_exit=True)
        await app.enqueue_many([push.job("acme", 1), push.job("acme", 2), push.job("bobs", 1)])
        await worker.run()
        assert asked[:2] == ["acme 1", "bobs 1"]  # bobs has a key of its own
        assert sorted(asked[2:]) == ["acme 1", "acme 2"]  # both, when the time was over


asyncio.run(main())
