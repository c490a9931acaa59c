"""The write path: from line protocol to a durable entry of the log."""
