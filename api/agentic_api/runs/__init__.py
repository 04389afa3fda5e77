"""Runs: one execution of an agent each, driven by a replica, kept in the database, closed by whoever is alive."""
