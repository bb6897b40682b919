"""The order and the mail that confirms it: both, or neither."""

import asyncio
import sqlite3

from tidewheel import App

app = App("sqlite:///shop.db")  # jobs live in the file where the orders are


@app.task
async def confirm(order: int) -> str:
    return f"order {order} confirmed"


def buy(shop: sqlite3.Connection, order: int) -> None:
    shop.execute("INSERT INTO orders VALUES (?)", (order,))
    app.enqueue_in(shop, [confirm.job(order)])  # nobody sees the job yet
    if order > 100:
        raise ValueError("there are only 100")


async def main() -> None:
    async with app:  # the first opening makes Tidewheel's tables
        shop = sqlite3.connect("shop.db")
        shop.execute("CREATE TABLE orders (number INTEGER)")
        with shop:  # commits
            buy(shop, 7)
        try:
            with shop:  # rolls back: no order, no job
                buy(shop, 101)
        except ValueError:
            pass
        shop.close()

        (job,) = (await app.jobs.list()).jobs
        assert job.payload == {"order": 7}


asyncio.run(main())
