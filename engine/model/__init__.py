"""The vocabulary that every layer shares: names, schemas, columns, triggers, entries, events."""
