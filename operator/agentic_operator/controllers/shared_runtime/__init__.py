"""The namespace of a tenant gets a runtime when it has Shared agents."""
