"""What `seance check` looks at, by where it looks."""
