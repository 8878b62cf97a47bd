"""Child processes: launching, supervising one, free ports, detaching."""
