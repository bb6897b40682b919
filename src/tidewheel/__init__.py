"""Tidewheel: background jobs for Python on the database you already have.

Start with `App`, put `@app.task` on a function, `await task.enqueue(...)`, and run `tidewheel worker module:app`.
"""

from tidewheel._admin import DeadLetter
from tidewheel._app import App
from tidewheel._batch import Batch, BatchItem
from tidewheel._batch_task import BatchTask
from tidewheel._check import Problem
from tidewheel._config import WorkerOptions
from tidewheel._context import JobContext, current_job
from tidewheel._env import Env
from tidewheel._graphs import Child
from tidewheel._handle import JobHandle
from tidewheel._limits import Breaker, Limit, Rate
from tidewheel._model.backoff import Backoff, custom, delays, exponential, fixed, linear
from tidewheel._model.errors import (
    Cancel,
    ConfigError,
    DecodeError,
    DuplicateJob,
    EncodeError,
    JobCancelled,
    JobFailed,
    JobNotDone,
    JobNotFound,
    LeaseLost,
    LimitKeyError,
    LimitNotFound,
    NotEnqueued,
    PayloadTooLarge,
    QueueFull,
    ResultTimeout,
    Retry,
    SchemaMismatch,
    SlotTimeout,
    Snooze,
    StoreError,
    StoreFull,
    StoreUnavailable,
    TidewheelError,
)
from tidewheel._model.job import AttemptRecord, ErrorInfo, History, Job, LogLine
from tidewheel._model.limit import Allowance, GateRow, LimitRow, Rule
from tidewheel._model.query import Action, Altered, JobFilter, Page, StoreInfo
from tidewheel._model.queue import QueueStats
from tidewheel._model.retention import FOREVER, Keep, Retention, keep
from tidewheel._model.retry import RetryPolicy
from tidewheel._model.state import JobState
from tidewheel._model.worker import WorkerInfo, WorkerRow
from tidewheel._operations import (
    BatchResult,
    CacheEntry,
    OperationConfig,
    OperationMetrics,
    OperationResult,
    OperationRunner,
)
from tidewheel._outbox import Outbox
from tidewheel._places import Fair
from tidewheel._prepared import Group, PreparedJob, chain, group
from tidewheel._rules import Backlog, Debounce, KeepLast, Throttle, Unique
from tidewheel._slots import Slot
from tidewheel._task import AsyncTask, Configured, SyncTask, Task
from tidewheel._telemetry import EVENTS, Event
from tidewheel._version import __version__
from tidewheel._why import Why

__all__ = [
    "EVENTS",
    "FOREVER",
    "Action",
    "Allowance",
    "Altered",
    "App",
    "AsyncTask",
    "AttemptRecord",
    "Backlog",
    "Backoff",
    "Batch",
    "BatchItem",
    "BatchResult",
    "BatchTask",
    "Breaker",
    "CacheEntry",
    "Cancel",
    "Child",
    "ConfigError",
    "Configured",
    "DeadLetter",
    "Debounce",
    "DecodeError",
    "DuplicateJob",
    "EncodeError",
    "Env",
    "ErrorInfo",
    "Event",
    "Fair",
    "GateRow",
    "Group",
    "History",
    "Job",
    "JobCancelled",
    "JobContext",
    "JobFailed",
    "JobFilter",
    "JobHandle",
    "JobNotDone",
    "JobNotFound",
    "JobState",
    "Keep",
    "KeepLast",
    "LeaseLost",
    "Limit",
    "LimitKeyError",
    "LimitNotFound",
    "LimitRow",
    "LogLine",
    "NotEnqueued",
    "OperationConfig",
    "OperationMetrics",
    "OperationResult",
    "OperationRunner",
    "Outbox",
    "Page",
    "PayloadTooLarge",
    "PreparedJob",
    "Problem",
    "QueueFull",
    "QueueStats",
    "Rate",
    "ResultTimeout",
    "Retention",
    "Retry",
    "RetryPolicy",
    "Rule",
    "SchemaMismatch",
    "Slot",
    "SlotTimeout",
    "Snooze",
    "StoreError",
    "StoreFull",
    "StoreInfo",
    "StoreUnavailable",
    "SyncTask",
    "Task",
    "Throttle",
    "TidewheelError",
    "Unique",
    "Why",
    "WorkerInfo",
    "WorkerOptions",
    "WorkerRow",
    "__version__",
    "chain",
    "current_job",
    "custom",
    "delays",
    "exponential",
    "fixed",
    "group",
    "keep",
    "linear",
]
