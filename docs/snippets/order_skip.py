"""In order, too, but nobody waits for a job that waits for its next attempt."""

import asyncio

from tidewheel import App, Limit, RetryPolicy, fixed

app = App("memory://")
log: list[str] = []


@app.task(concurrency=Limit(1, key="args.account", order="skip"), retry=RetryPolicy(3, fixed("10ms")))
async def apply(account: str, event: str) -> None:
    log.append(f"{account}: {event}")
    if log.count("acme: opened") == 1 and event == "opened":
        raise ConnectionError("the ledger is away")


async def main() -> None:
    async with app:
        await app.enqueue_many(apply.job("acme", event) for event in ("opened", "paid", "closed"))
        await app.worker(drain_and_exit=True).run()
    assert [line for line in log if "acme" in line] == ["acme: opened", "acme: paid", "acme: closed", "acme: opened"]


asyncio.run(main())
