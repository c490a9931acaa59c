"""Plugin files: where they come from, what lies beside them, and how they arrive."""
