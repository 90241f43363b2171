"""Adds the benchmark's processor to the registry in every Python process of the benchmark's Airflow (`PYTHONPATH`)."""

from tests.bench.registry import register

register()
