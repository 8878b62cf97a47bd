"""The clients: their state machines alone, against a gateway that misbehaves on purpose, and against real ones."""
