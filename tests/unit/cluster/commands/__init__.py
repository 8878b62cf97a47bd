"""Tests of `cluster/commands/`."""
