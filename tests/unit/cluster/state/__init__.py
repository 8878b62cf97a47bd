"""Tests of `cluster/state/`."""
