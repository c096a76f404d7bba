"""The last events of a group, kept so that a client that comes back misses none."""
