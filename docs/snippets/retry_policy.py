"""Say how often and when: for an app, a task or one job."""

import asyncio

from tidewheel import App, RetryPolicy, exponential, fixed

app = App("memory://", retry=RetryPolicy(3))  # for tasks that say nothing


@app.task(retry=RetryPolicy(5, exponential("2s", cap="1h")))
async def charge(order: int) -> None: ...


@app.task(retry=10)  # a number is enough: ten attempts, default backoff
async def refresh_rates() -> None: ...


@app.task(retry=1)  # one attempt: no retry
async def send_sms(number: str, text: str) -> None: ...


async def main() -> None:
    await charge.enqueue(7)
    await charge.options(retry=RetryPolicy(20, fixed("5m"))).enqueue(8)  # this one is patient


asyncio.run(main())
