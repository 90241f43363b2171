"""The evidence log: what happened and what did not, in bytes an auditor can check offline, years later, without us.

    with engine.begin() as connection:             # the transaction of the state the entries record
        stage(connection, [entry, ...])
    seal(engine, store, signer, now=now)            # indexes -> tiles -> signed checkpoint
    export(engine, folder, vkey=signer.vkey)        # a folder; `python -m include.evidence verify FOLDER`

This room knows nothing of processors, disposals or Airflow.
"""
