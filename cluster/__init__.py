"""The local cluster and the seance command line: composition only."""
