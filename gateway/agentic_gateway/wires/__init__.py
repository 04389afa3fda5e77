"""The wire protocols that callers and providers speak, as pure functions over bodies and events."""
