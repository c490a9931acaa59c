"""The command line: starts the server, and talks HTTP to a running one.

Client commands import nothing of the engine but its vocabulary, so that they start fast.
"""
