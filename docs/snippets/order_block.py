"""The events of an account, one after the other: the next one waits until the one before it is done, retries and all."""

import asyncio

from tidewheel import App, Limit, RetryPolicy, fixed

app = App("memory://")
log: list[str] = []


@app.task(concurrency=Limit(1, key="args.account", order="block"), retry=RetryPolicy(3, fixed("10ms")))
async def apply(account: str, event: str) -> None:
    log.append(f"{account}: {event}")
    if log.count("acme: opened") == 1 and event == "opened" and account == "acme":
        raise ConnectionError("the ledger is away")


async def main() -> None:
    async with app:
        await app.enqueue_many(apply.job("acme", event) for event in ("opened", "paid", "closed"))
        await apply.enqueue("bobs", "opened")
        await app.worker(drain_and_exit=True).run()
    assert [line for line in log if "acme" in line] == ["acme: opened", "acme: opened", "acme: paid", "acme: closed"]
    assert log.index("bobs: opened") < 2  # nobody waits for another account


asyncio.run(main())
