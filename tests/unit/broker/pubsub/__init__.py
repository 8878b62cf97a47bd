"""Tests of `broker/pubsub/`."""
