"""The write-ahead log: what was acknowledged is here, and triggers read their events from here.

`record` is the byte format, `entries` and `blocks` are its two halves, `segment` is one file,
`log` the directory, `recovery` and `repair` what happens at the start, `progress` the fold that a
segment's checkpoint holds, `flusher` the group commit.
"""
