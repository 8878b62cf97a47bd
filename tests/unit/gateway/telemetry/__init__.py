"""Tests of `gateway/telemetry/`."""
