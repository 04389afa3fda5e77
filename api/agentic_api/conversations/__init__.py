"""Conversations: what was said to an agent and by it, over many runs."""
