"""The rows themselves: recent ones in memory, and how duplicates of a point become one row."""
