"""Statutory cold storage: what a law keeps, apart from everything else, until its last day (PIPA 21(3), 분리보관).

    staging.stage(connection, ...)      a batch stages a person's records, reduced to the law's closed list, encrypted
    packing.pack(engine, store, ...)    one task a run: one object per law and half-week, written, locked, checked
    staging.unpacked(connection, ids)   which disposals must still wait before anything is done at the source
    disposal.lapse(engine, store, ...)  whole objects go on their day, every version and every key
    retrieval.retrieve(...)             one account's rows, for a stated purpose and a second person
    inventory.table(...)                what is kept per law and year, and what should not be there

Nothing here knows processors, disposals or the shape of evidence: callers pass callbacks that record in the same
transaction.
"""
