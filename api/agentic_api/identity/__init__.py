"""Who calls: principals, and the schemes that prove them from a credential."""
