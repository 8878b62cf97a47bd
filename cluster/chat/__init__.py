"""`seance chat`: a person at a prompt, or a pipe, in a session."""
