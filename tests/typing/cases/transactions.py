"""A connection of one's own keeps the types of jobs and handles."""

import sqlite3
from typing import reveal_type

from tidewheel import App, Outbox

app = App("memory://")
outbox = Outbox(app, "sqlite:///shop.db", table="outbox")
connection = sqlite3.connect("shop.db")


@app.task
async def greet(to: str) -> str:
    return to


async def right() -> None:
    reveal_type(await greet.options(connection=connection).enqueue("a"))  # R: JobHandle[str]
    reveal_type(await app.enqueue_many([greet.job("a")], connection=connection))  # R: list[JobHandle[str]]
    reveal_type(app.enqueue_in(connection, [greet.job("a")]))  # R: list[JobHandle[str]]
    reveal_type(outbox.enqueue_in(connection, [greet.job("a")]))  # R: list[str]
    reveal_type(await outbox.enqueue_many([greet.job("a")], connection=connection))  # R: list[str]
    reveal_type(await outbox.relay())  # R: int


async def wrong() -> None:
    await greet.options(connection=connection).enqueue(1)  # E: arg-type / reportArgumentType
    app.enqueue_in(connection, [greet])  # E: arg-type / reportArgumentType
    app.enqueue_in([greet.job("a")])  # E: call-arg / reportCallIssue
    await outbox.enqueue_many([greet.job("a")])  # E: call-arg / reportCallIssue
    Outbox(app)  # E: call-arg / reportCallIssue
