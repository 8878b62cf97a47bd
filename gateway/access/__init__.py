"""Who may come in: admission, tokens and passwords."""
