"""Everything Postgres: tables, engine, queries, and the worker that drains the streams."""
