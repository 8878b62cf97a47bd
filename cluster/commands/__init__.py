"""The subcommands of `seance`. Each imports inside its function, so that every command starts fast."""
