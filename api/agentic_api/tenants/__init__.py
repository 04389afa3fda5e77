"""Tenants: their rows in step with their resources, and their view for clients."""
