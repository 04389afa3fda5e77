"""A run from its first transaction to its last: begin, drive, keep leases, close; and what is deleted later."""
