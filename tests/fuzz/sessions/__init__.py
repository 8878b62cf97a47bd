"""Random conversations of many clients on running gateways, held against a model of the session."""
