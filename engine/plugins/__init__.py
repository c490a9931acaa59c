"""Plugin files, the environment they run in, and the runtime folder that carries our code."""
