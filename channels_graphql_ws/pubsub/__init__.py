"""Broadcasts: names of groups, publishing, and the hub that delivers them."""
