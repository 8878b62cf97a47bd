"""The servers beside which the product is measured, and how each is started."""
