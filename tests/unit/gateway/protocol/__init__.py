"""Tests of `gateway/protocol/`."""
