"""Tests of `broker/redis/`."""
