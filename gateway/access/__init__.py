"""Access to sessions: admission, door, directory, tokens and passwords."""
