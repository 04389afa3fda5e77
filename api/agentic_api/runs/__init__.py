"""Runs: one execution of an agent each, driven by a replica, stored in the database, closed by a replica that is alive.

`endpoints` and `sse` serve them over `service`; `lifecycle` drives them, `follow` reports their progress, `storage` has
their rows.
"""
