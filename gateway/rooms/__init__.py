"""The sessions that have members on this gateway: hub, room, sequencer, outbox, members."""
