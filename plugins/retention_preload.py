"""Imports once, in the process that forks the tasks, what each task would otherwise import for itself.

A task of a night is a fork of the scheduler's (or the Celery worker's) process and inherits what that has imported;
without this every one of them spends half a second of processor time on SQLAlchemy, boto3 and our own rooms.
"""

import sys

from airflow.plugins_manager import AirflowPlugin

if {"scheduler", "celery", "standalone"} & set(sys.argv):
    from include.tasks import preload  # noqa: F401 - for what importing it imports


class RetentionPreload(AirflowPlugin):
    """Nothing else: Airflow imports this file because it is a plugin."""

    name = "retention_preload"
