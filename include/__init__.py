"""Retention and erasure: the rooms behind the DAGs. Imports point downward only (see docs/architecture.md)."""
