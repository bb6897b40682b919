"""Each job ends by itself: with its own result, its own failure, its own retries."""

import asyncio

from tidewheel import App, Batch, BatchItem, JobFailed, Retry, RetryPolicy, fixed

app = App("memory://")
calls = list[list[str]]()


@app.task(batch=Batch(10, wait="1s", least=1), retry=RetryPolicy(3, fixed("10ms")))
async def charge(items: list[BatchItem[str]]) -> list[str | BaseException]:
    calls.append(sorted(item.value for item in items))
    return await asyncio.gather(*(one(item) for item in items), return_exceptions=True)


async def one(item: BatchItem[str]) -> str:
    item.job.log.info("charging %s, attempt %d", item.value, item.job.attempt)  # its own id, log, progress, fence
    if item.value == "ada" and item.job.attempt == 1:
        raise Retry("busy", after="10ms")  # only this one comes back
    if item.value == "mallory":
        raise ValueError("no such customer")
    return f"receipt of {item.value}"


async def main() -> None:
    async with app:
        names = ("ada", "bob", "mallory")
        ada, bob, mallory = await app.enqueue_many(charge.job(name) for name in names)
        await app.worker(drain_and_exit=True, poll="20ms").run()
        assert await ada.result() == "receipt of ada"
        assert await bob.result() == "receipt of bob"
        try:
            await mallory.result()
        except JobFailed as error:
            assert "no such customer" in str(error)
        assert calls[0] == ["ada", "bob", "mallory"]
        assert all("bob" not in call for call in calls[1:])


asyncio.run(main())
