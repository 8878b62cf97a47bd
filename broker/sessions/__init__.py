"""The state of sessions in Redis: seats, event log, epochs, fence, gateway leases."""
