"""Turns and ageing as options of a task."""

from typing import reveal_type

from tidewheel import App, Fair

app = App("memory://")


@app.task(fair=Fair("args.tenant", weights={"acme": 3, "bobs": 0.5}, cost="args.pages"))
async def render(tenant: str, pages: int) -> int:
    return pages


@app.task(ageing="1m", priority=50)
def report(name: str) -> str:
    return name


@app.task(fair="args.tenant")  # E: call-overload, untyped-decorator / reportArgumentType
async def mixed_up(tenant: str) -> None: ...


Fair(weights={"acme": 3})  # E: call-arg / reportCallIssue
Fair("args.tenant", weights={"acme": "3"})  # E: dict-item / reportArgumentType


async def right() -> None:
    reveal_type(await render.enqueue("acme", 3))  # R: JobHandle[int]
    reveal_type(await report.enqueue("a"))  # R: JobHandle[str]
