"""Tests of `gateway/lifecycle/`."""
