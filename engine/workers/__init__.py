"""Supervision: one worker process per trigger, its conversation, and what happens when it dies."""
