"""Tests of `cluster/embedded/`."""
