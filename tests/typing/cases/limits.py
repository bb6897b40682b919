"""Limits: the options of a task, the values they take, and what `app.limits` answers."""

from typing import reveal_type

from tidewheel import App, Limit, Rate, Retry

app = App("memory://")
api = Limit(10, name="api")


def of_tenant(tenant: str) -> str:
    return tenant


@app.task(concurrency=5)
async def simple(to: str) -> int:
    raise Retry(after="30s", hold=True)


@app.task(
    concurrency=[Limit(2, key="args.tenant"), api, 7],
    rate=[Rate(100, per="1m", key=of_tenant), Rate(5, per=1, algorithm="bucket", burst=9, cost="args.n")],
)
def several(tenant: str, n: int = 1) -> str:
    raise Retry(hold=("api", "several.rate"))


@app.task(concurrency="5")  # E: arg-type / reportArgumentType
async def text() -> None: ...


@app.task(rate=api)  # E: call-overload, untyped-decorator / reportArgumentType
async def mixed_up() -> None: ...


Rate(1, per=1, algorithm="leaky")  # E: arg-type / reportArgumentType
Limit("1")  # E: arg-type / reportArgumentType


async def right() -> None:
    reveal_type(await simple.enqueue("a"))  # R: JobHandle[int]
    reveal_type(await several.enqueue("a", n=2))  # R: JobHandle[str]
    reveal_type(await app.limits.list())  # R: list[LimitRow]
    reveal_type(await app.limits.get("api"))  # R: LimitRow | None
    reveal_type(await app.limits.gates("api", key="acme"))  # R: list[GateRow]
    reveal_type(await app.limits.set("api", slots=3))  # R: LimitRow
    reveal_type((await app.limits.hit("vendor", key=5, cost=2)).allowed)  # R: bool
    await app.limits.pause("api", key="acme")


async def wrong() -> None:
    await app.limits.set("api", 3)  # E: call-arg / reportCallIssue
    await app.limits.set("api", slot=3)  # E: call-arg / reportCallIssue
    await app.limits.hit("vendor", cost="2")  # E: arg-type / reportArgumentType
