"""The kind Tenant becomes namespaces, their limits and their network."""
