"""With SQLAlchemy the session is the connection; async ones are awaited."""

import asyncio

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from tidewheel import App

app = App("sqlite:///shop.db")  # or postgresql://…, with an engine of postgresql+asyncpg:// or postgresql+psycopg://


@app.task
async def confirm(order: int) -> None: ...


@app.task
async def pack(order: int) -> None: ...


async def main() -> None:
    engine = create_async_engine("sqlite+aiosqlite:///shop.db")
    async with app, AsyncSession(engine) as session:
        await session.execute(text("CREATE TABLE orders (number INTEGER)"))
        await session.execute(text("INSERT INTO orders VALUES (7)"))
        job = await confirm.options(connection=session, priority=1).enqueue(7)
        await app.enqueue_many([pack.job(7), pack.job(8)], connection=session)
        await session.commit()
        assert job.created
        assert len((await app.jobs.list()).jobs) == 3
    await engine.dispose()


asyncio.run(main())
