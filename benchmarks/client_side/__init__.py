"""Clients under measurement, and the server that they all talk to."""
