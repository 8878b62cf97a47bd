"""What `seance up` and `seance status` print."""
