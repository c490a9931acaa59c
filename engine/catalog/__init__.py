"""The catalog: which databases, tables and triggers exist, durable as a log of changes."""
