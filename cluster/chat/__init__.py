"""The terminal client: a person at a prompt, or a pipe, in a session."""
