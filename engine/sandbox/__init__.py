"""Confinement of plugins: what a worker may see, do and use, and what enforces it."""
