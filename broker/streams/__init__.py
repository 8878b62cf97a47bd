"""The partition streams that the worker drains into Postgres."""
