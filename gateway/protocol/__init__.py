"""The wire contract as pure code: frames, handshake, commands, server events, close codes, state machine."""
