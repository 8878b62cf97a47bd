"""Requests to a running supervisor and its replies, for the commands on one side and the supervisor on the other."""
