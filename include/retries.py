"""From exception to Airflow's retry decision, in one place; what each class of error means stands in `include.errors`.

| remedy | decision |
|---|---|
| retry now | again after the processor's own wait, or with the task's backoff; the rest is left to the next run |
| retry next night | fail now: the wait is longer than a task waits, and the next run takes it up |
| stop this processor, needs a person | fail now: somebody must change something; the other processors go on |
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy

from include.errors import RateLimited, Remedy, remedy

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context


class ByErrorClass(RetryPolicy):
    """Decides by our error classes; holds no state."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Return the decision for one failure; `reason` names only our error class."""
        reason = type(exception).__name__
        if remedy(exception) is not Remedy.RETRY_NOW:
            return RetryDecision.fail(reason)
        if isinstance(exception, RateLimited):
            return RetryDecision.retry(timedelta(seconds=max(1.0, exception.retry_after)), reason)
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return the (empty) state Airflow stores with the DAG."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> ByErrorClass:
        """Return the policy again."""
        return cls()
