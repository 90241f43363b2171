"""The pages inside Airflow for the people who answer for retention and erasure (`plugins/compliance_console.py`).

A page is one file in `pages/` (its routes), one in `words/` (its Korean and English) and its templates; the folders are
the registry, no list is edited. Each route names the one capability it needs (`roles.py`), and the app refuses to start
with a route that names none.
"""
