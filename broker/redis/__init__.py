"""The connection to Redis: dialling, reconnecting, commands, scripts, installation."""
