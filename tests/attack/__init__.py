"""The optional lane `make attack`: two users who talk over two gateways, while one process does its worst."""
