"""The embedded servers of the local cluster: Redis, PostgreSQL and HAProxy."""
