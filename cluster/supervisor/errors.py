"""The error of a cluster that can't be started or changed."""


class StartError(Exception):
    """The cluster can't be started or changed; the message says why and what to do."""
