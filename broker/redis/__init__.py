"""The connection to Redis: dialling, reconnecting, commands, scripts, redis-py client, installation."""
