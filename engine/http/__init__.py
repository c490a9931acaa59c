"""The HTTP edge: requests in, answers out; it decides nothing about the data."""
