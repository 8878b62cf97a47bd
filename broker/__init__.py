"""Everything Redis: events, keys, scripts, the link, publish, subscribe, log, presence, stream."""
