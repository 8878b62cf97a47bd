"""The optional lane `make conformance`: the Autobahn test suite against the codec, through an echo route of its own."""
