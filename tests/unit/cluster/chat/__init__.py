"""Tests of `cluster/chat/`."""
