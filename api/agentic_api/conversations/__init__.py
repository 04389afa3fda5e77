"""Conversations: the messages of an agent and its users, over many runs."""
