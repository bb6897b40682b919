"""The same request twice is one job, also when the first has ended long ago."""

import asyncio

from tidewheel import App

app = App("memory://")
sent = list[str]()


@app.task
async def pay(account: str, cents: int) -> int:
    sent.append(f"{account} {cents}")
    return cents


async def post(request_id: str, account: str, cents: int) -> str:
    """A web page, whose callers may ask again when they heard no answer."""
    job = await pay.options(idempotency_key=request_id, idempotency_ttl="24h").enqueue(account, cents)
    return job.id


async def main() -> None:
    async with app:
        first = await post("req-1", "ada", 500)
        await app.worker(drain_and_exit=True).run()
        assert await post("req-1", "ada", 500) == first
        await app.worker(drain_and_exit=True).run()
        assert sent == ["ada 500"]


asyncio.run(main())
