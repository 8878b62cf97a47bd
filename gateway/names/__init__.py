"""Which names of users, sessions and servers are allowed."""
