"""The files of a local cluster, and the status of its processes."""
