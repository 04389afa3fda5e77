"""What has to exist before the platform serves: Secrets, tables, and the first admin key."""
