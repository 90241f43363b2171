-- Run once by the postgres image, when its volume is empty: our own schema lives apart from Airflow's tables.
CREATE DATABASE retention;
-- Used by the sandbox only; a real company names its own database in the connection accounts_db.
CREATE DATABASE accounts;
