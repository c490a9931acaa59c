"""Queries: SQL over rows in memory and in files.

DataFusion brings an allocator of its own, which keeps what it has freed for a while, in each of
many threads. Over large files this doubled the memory of the server, so it is told to give memory
back at once; it looks at this setting when it is loaded, which is after this module.
"""

from __future__ import annotations

import os

os.environ.setdefault("MIMALLOC_PURGE_DELAY", "0")
