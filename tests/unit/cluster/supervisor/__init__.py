"""Tests of `cluster/supervisor/`."""
