"""Tests of `cluster/process/`."""
