"""Agents: created, read, changed and deleted; kept as custom resources."""
