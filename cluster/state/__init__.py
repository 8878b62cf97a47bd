"""The files of a local cluster: its folder, the record of its processes."""
