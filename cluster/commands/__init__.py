"""The `seance` command's subcommands. They import late what only they need, so that each starts fast."""
