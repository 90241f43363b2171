"""What nearly every task of a night uses: importing this module imports it, without a connection, a thread or a file.

Only `plugins/retention_preload.py` uses it.
"""

import boto3  # noqa: TID253 - this module is imported by no DAG file

from include import accounts, database, keys
from include.disposals import alerts, archiving, brake, manual, offboarding, reporting, requests, resurfacing, runs
from include.evidence import log, note, store
from include.policy import schedule

__all__ = [
    "accounts", "alerts", "archiving", "boto3", "brake", "database", "keys", "log", "manual", "note", "offboarding",
    "reporting", "requests", "resurfacing", "runs", "schedule", "store",
]  # fmt: skip
