"""Run any callable with retries and a timeout, here and now: no queue, no store, a value instead of an exception.

For work whose caller waits for the answer. Work that must survive a crash is a job.
"""

from tidewheel._operations.cache import CacheEntry
from tidewheel._operations.config import OperationConfig
from tidewheel._operations.result import BatchResult, OperationMetrics, OperationResult
from tidewheel._operations.runner import OperationRunner

__all__ = ["BatchResult", "CacheEntry", "OperationConfig", "OperationMetrics", "OperationResult", "OperationRunner"]
