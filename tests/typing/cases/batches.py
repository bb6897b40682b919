"""Batch handlers: a job is one item of the list, and its result one of the list that the handler gives."""

from collections.abc import Sequence
from typing import reveal_type

from tidewheel import App, Batch, BatchItem

app = App("memory://")


@app.task(batch=Batch(100, wait="2s", least=10, key="args.rows"))
async def insert(rows: list[str]) -> None: ...


@app.task(batch=Batch(5), queue="numbers", retry=3)
async def double(numbers: list[int]) -> list[int | BaseException]:
    return [2 * n for n in numbers]


@app.task(batch=Batch(5))
def half(items: list[BatchItem[int]]) -> Sequence[float | BaseException]:
    reveal_type(items[0].value)  # R: int
    reveal_type(items[0].job.fence)  # R: str
    return [item.value / 2 for item in items]


@app.task(batch=Batch(5))
def drop(items: list[BatchItem[str]]) -> None: ...


@app.task(batch=5)  # E: call-overload, untyped-decorator / reportArgumentType
async def number(rows: list[str]) -> None: ...


@app.task(batch=Batch(5))  # E: arg-type / reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator
async def single(row: str) -> None: ...


async def right() -> None:
    reveal_type(await insert.enqueue("a"))  # R: JobHandle[None]
    reveal_type(await double.enqueue(1))  # R: JobHandle[int]
    reveal_type(await (await double.enqueue(1)).result())  # R: int
    reveal_type(await half.options(delay=5).enqueue(3))  # R: JobHandle[float]
    reveal_type(drop.job("a"))  # R: PreparedJob[None]


async def wrong() -> None:
    await insert.enqueue(["a"])  # E: arg-type / reportArgumentType
    await double.enqueue("1")  # E: arg-type / reportArgumentType
    await insert.enqueue("a", "b")  # E: call-arg / reportCallIssue
    half.job(0.5)  # E: arg-type / reportArgumentType
