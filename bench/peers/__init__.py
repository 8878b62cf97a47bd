"""The servers that the product is compared with, and how each is started."""
