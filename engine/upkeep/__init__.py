"""What keeps the stored rows in order: from memory to files, from many files to few, and away."""
