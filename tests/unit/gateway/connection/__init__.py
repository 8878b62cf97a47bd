"""Tests of `gateway/connection/`."""
