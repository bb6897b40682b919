"""A cache in front, and numbers behind."""

import asyncio

from tidewheel import OperationRunner

runner = OperationRunner()
asked = 0


async def load_rates(currency: str) -> float:
    global asked
    asked += 1
    await asyncio.sleep(0)
    return {"USD": 1.08, "GBP": 0.85}[currency]


async def main() -> None:
    # Ten callers at once, one call.
    rates = await asyncio.gather(*(runner.fetch("rates:USD", "10m", load_rates, "USD") for _ in range(10)))
    assert rates == [1.08] * 10
    assert asked == 1

    runner.forget("rates:USD")  # the next one asks again
    await runner.fetch("rates:USD", "10m", load_rates, "USD")

    metrics = runner.metrics
    assert (metrics.operations, metrics.errors, metrics.error_rate) == (2, 0, 0.0)
    assert metrics.cache_size == 1
    print(f"{metrics.average_duration:.3f} s on average")
    runner.reset_metrics()


asyncio.run(main())
