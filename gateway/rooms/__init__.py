"""The sessions that have users on this gateway: hub, room, sequencer, outbox, members."""
