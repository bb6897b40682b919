"""Different errors, different answers."""

import asyncio

from tidewheel import App, JobState, RetryPolicy, exponential, fixed


class CardDeclined(Exception):
    """No retry will help."""


class RateLimited(Exception):
    """The provider asks for a pause."""


app = App("memory://")


@app.task(
    retry=RetryPolicy(
        8,
        exponential("1s", cap="10m"),
        rules={RateLimited: fixed("1m")},  # its own backoff
        never=(CardDeclined, "json.JSONDecodeError"),  # dead at once; names spare an import
    )
)
async def charge(order: int) -> None:
    raise CardDeclined(f"order {order}")


# Only these are retried. The most specific class wins, so a missing file is not.
cautious = RetryPolicy(5, only=OSError, never=FileNotFoundError)


async def main() -> None:
    async with app:
        job = await charge.enqueue(7)
        await app.worker(drain_and_exit=True).run()
        assert await job.state() is JobState.DISCARDED
        assert (await job.info()).attempt == 1


asyncio.run(main())
