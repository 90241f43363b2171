"""Connections as Airflow has them, without an api-server: environment, secrets backend, Airflow's own database."""

from __future__ import annotations

import os

from include.connections import Connection
from include.errors import ConfigurationError


def from_airflow(name: str) -> Connection:
    """Return a connection by name.

    The JSON form of `AIRFLOW_CONN_<NAME>` is read here; anything else is left to Airflow where it is configured (some
    `AIRFLOW__…` is set), which asks its secrets backends and then its database.
    """
    text = os.environ.get(f"AIRFLOW_CONN_{name.upper()}", "").strip()
    if text.startswith("{"):
        try:
            return Connection.from_json(name, text)
        except ValueError:
            raise ConfigurationError(f"AIRFLOW_CONN_{name.upper()} is not JSON. Correct it where it is set.") from None
    if text or any(key.startswith("AIRFLOW__") for key in os.environ):
        return _asked(name)
    raise absent(name)


def absent(name: str) -> ConfigurationError:
    """Return the error that says how to create a connection."""
    return ConfigurationError(
        f"There is no Airflow connection {name!r}. Create it (docs/configuration.md lists its fields) in the secrets "
        f"backend, or set AIRFLOW_CONN_{name.upper()}."
    )


def _asked(name: str) -> Connection:
    from airflow.exceptions import AirflowNotFoundException
    from airflow.models.connection import Connection as AirflowConnection

    try:
        found = AirflowConnection.get_connection_from_secrets(name)
    except AirflowNotFoundException:
        raise absent(name) from None
    except Exception as error:
        raise ConfigurationError(
            f"Airflow cannot say whether it has connection {name!r} ({type(error).__name__}): look at its secrets "
            "backend and at AIRFLOW__DATABASE__SQL_ALCHEMY_CONN."
        ) from None
    return Connection.of_airflow(name, found)
