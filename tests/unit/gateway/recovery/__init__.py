"""Tests of `gateway/recovery/`."""
