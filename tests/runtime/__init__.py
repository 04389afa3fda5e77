"""Tests of the agent server."""
