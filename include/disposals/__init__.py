"""The durable state machine of disposals: discover, claim, advance, recover.

    run = begin_run(context, dag_id="nightly_retention", airflow_run_id="…")
    discover(context, run)                                     # plan → disposals, one transaction a chunk
    for batch_id in make_batches(context, run, "zendesk", size):
        locate_batch(context, processor, batch_id, owner)      # reads; stages what a law keeps
        ...                                                    # the archive packs what was staged
        advance_batch(context, processor, batch_id, owner)     # acts step by step, reads back

Every function may be run again at any time. State and evidence change in one transaction; no transaction spans a call
to a processor.
"""

from include.disposals.advance import advance_batch
from include.disposals.batches import make_batches
from include.disposals.context import Context
from include.disposals.discover import discover
from include.disposals.locate import locate_batch
from include.disposals.runs import begin_run, finish_run

__all__ = ["Context", "advance_batch", "begin_run", "discover", "finish_run", "locate_batch", "make_batches"]
