"""API keys: made, listed, revoked, and checked on every request."""
