"""The Pythons that plugins run in: found, locked, built, kept and started from."""
