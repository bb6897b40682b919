"""Orders here, jobs there: the outbox is a table beside the orders, and a relay empties it."""

import asyncio
import sqlite3

from tidewheel import App, Outbox

app = App("memory://")  # in life: redis://…, or a database of its own
outbox = Outbox(app, "sqlite:///shop.db")  # or the postgresql:// where the orders are


@app.task
async def confirm(order: int) -> str:
    return f"order {order} confirmed"


async def main() -> None:
    await outbox.create_table()  # or put `outbox.ddl` into your own migrations
    shop = sqlite3.connect("shop.db")
    shop.execute("CREATE TABLE orders (number INTEGER)")
    with shop:
        shop.execute("INSERT INTO orders VALUES (7)")
        (job_id,) = outbox.enqueue_in(shop, [confirm.job(7)])
    shop.close()
    assert await app.jobs.get(job_id) is None  # it is still on its way

    assert await outbox.relay() == 1  # in life a process that goes on: `tidewheel outbox shop.jobs:outbox`
    job = await app.jobs.get(job_id)
    assert job is not None
    await app.worker(drain_and_exit=True).run()
    assert await job.result() == "order 7 confirmed"
    await app.close()


asyncio.run(main())
