"""The output of `seance up` and `seance status`."""
