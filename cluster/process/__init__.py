"""Child processes: starting one, keeping one running, free ports, running in the background."""
