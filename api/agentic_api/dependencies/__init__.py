"""What endpoints ask for: the caller, the context, a database session, a page, an idempotency key."""
