"""Tests of `cluster/console/`."""
