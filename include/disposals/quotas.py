"""A processor's published limits, shared by all workers: one row a quota, reserved in one statement.

The row holds the theoretical arrival time of the next call (GCRA); reserving n calls moves it and returns the wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Engine, text

from include.processors import Quota

_RESERVE = text(
    """
    INSERT INTO retention.quota AS q (processor, quota, next_free)
    VALUES (:processor, :quota, clock_timestamp() + make_interval(secs => :cost))
    ON CONFLICT (processor, quota) DO UPDATE
        SET next_free = greatest(q.next_free, clock_timestamp()) + make_interval(secs => :cost)
    RETURNING extract(epoch FROM next_free - make_interval(secs => :cost) - clock_timestamp())
    """
)


def reserver(
    engine: Engine, processor: str, quotas: Sequence[Quota], *, share: float = 1.0
) -> Callable[[str, int], float]:
    """Return `reserve(quota, calls) -> seconds to wait`; `share` is the part of the published limit that is ours.

    A burst (a tenth of the window unless the quota says more) may go at once, as the vendors' own windows
    allow; an unknown quota is a programming error.
    """
    by_name = {q.name: q for q in quotas}

    def reserve(quota: str, calls: int) -> float:
        limit = by_name[quota]
        spacing = limit.seconds / (limit.calls * share)
        with engine.begin() as connection:
            ahead = connection.execute(
                _RESERVE, {"processor": processor, "quota": quota, "cost": spacing * calls}
            ).scalar_one()
        return max(0.0, float(ahead) - limit.seconds * limit.burst)

    return reserve
