"""Rules for enqueuing: the options of a task, the values they take, and what a handle says they did."""

from typing import reveal_type

from tidewheel import App, Backlog, Debounce, KeepLast, Throttle, Unique

app = App("memory://")


@app.task(unique=Unique(key="args.tenant", period="1h", on_conflict="raise"), backlog=5, expires="10m")
async def sync(tenant: str) -> int:
    return 1


@app.task(keep_last=True, backlog=Backlog(5, on_full="drop_oldest", of="queue"))
def build(site: str) -> str:
    return site


@app.task(throttle=Throttle(2, per="10s", key="args.tenant"))
async def export(tenant: str) -> None: ...


@app.task(debounce=Debounce("30s", max_wait=300))
async def save(text: str) -> None: ...


@app.task(keep_last=KeepLast(key="args.site"))
async def preview(site: str) -> None: ...


@app.task(throttle=Debounce("30s"))  # E: call-overload, untyped-decorator / reportArgumentType
async def mixed_up() -> None: ...


Unique(on_conflict="stop")  # E: arg-type / reportArgumentType
Unique(on_conflict="replace", replace={"scheduled": ("args", "run_at")})
Unique(on_conflict="replace", replace={"running": ("args",)})  # E: dict-item / reportArgumentType
Throttle("2", per="10s")  # E: arg-type / reportArgumentType
Backlog(5, on_full="drop")  # E: arg-type / reportArgumentType


async def right() -> None:
    job = await sync.options(idempotency_key="k", idempotency_ttl="1h", expires=60).enqueue("a")
    reveal_type(job)  # R: JobHandle[int]
    reveal_type(job.cancelled)  # R: str | None
    reveal_type(job.remaining)  # R: int | None
    reveal_type(await build.enqueue("docs"))  # R: JobHandle[str]
    await sync.options(unique=Unique()).enqueue("a")


async def wrong() -> None:
    await sync.options(idempotency_key=5).enqueue("a")  # E: arg-type / reportArgumentType
    await sync.options(throttle=Throttle(1, per=1)).enqueue("a")  # E: call-arg / reportCallIssue, reportUnknownMemberType
