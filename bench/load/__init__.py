"""The load: sockets that connect, publish, and check the count, the order and the once-ness of everything they get."""
