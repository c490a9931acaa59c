"""Where events come from: time, flushed writes, and HTTP requests to plugins."""
