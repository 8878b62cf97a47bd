"""Tests of `broker/streams/`."""
