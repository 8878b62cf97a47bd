"""The supervisor of a local cluster: plan, replicas, probes, health loop, operations."""
