"""A second run must do no harm: hand the job's id to the other side."""

import asyncio

from tidewheel import App, RetryPolicy, current_job, fixed

app = App("memory://")
payments: dict[str, int] = {}  # what the provider has booked, by idempotency key


@app.task(retry=RetryPolicy(3, fixed(0)))
async def charge(cents: int) -> None:
    job = current_job()
    payments.setdefault(job.id, cents)  # POST /payments with "Idempotency-Key: <job id>"
    if job.attempt == 1:
        raise ConnectionError("the answer got lost")


async def main() -> None:
    async with app:
        job = await charge.enqueue(500)
        await app.worker(drain_and_exit=True).run()
        assert (await job.info()).attempt == 2
        assert payments == {job.id: 500}


asyncio.run(main())
