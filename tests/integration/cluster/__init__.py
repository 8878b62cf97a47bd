"""Tests of `cluster/` with real servers."""
