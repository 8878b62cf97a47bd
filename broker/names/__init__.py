"""How names are compared: UTS #39 skeletons and case folding, and the tables of Unicode for them."""
