"""The local cluster, and the `seance` command line that runs the product's parts."""
