"""The optional lane `make fuzz`: random input against the codec and the commands, for as long as one likes."""
