"""Tests of `gateway/rooms/`."""
