"""A host that fails: after two failures nobody calls it for a while, then one job tries."""

import asyncio

from tidewheel import App, Breaker, RetryPolicy, fixed

app = App("memory://")
calls: list[str] = []


@app.task(breaker=Breaker(2, within="1m", open_for="50ms", key="args.host"), retry=RetryPolicy(9, fixed("1ms")))
async def fetch(host: str) -> None:
    calls.append(host)
    if host == "down" and calls.count("down") < 4:
        raise ConnectionError(f"{host} does not answer")


async def main() -> None:
    async with app:
        await app.enqueue_many(fetch.job("down") for _ in range(2))
        await app.enqueue_many(fetch.job("up") for _ in range(20))
        await app.worker(poll="10ms", drain_and_exit=True).run()
    assert calls.count("up") == 20
    assert calls.count("down") == 5  # two failures, one try that failed, one that did not, and the other job


asyncio.run(main())
