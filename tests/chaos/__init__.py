"""`make chaos`: faults in the middle of load, everything that was sent and seen in a ledger, checked afterwards."""
