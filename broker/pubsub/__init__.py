"""Publishing events to session channels, and subscribing to the channels."""
