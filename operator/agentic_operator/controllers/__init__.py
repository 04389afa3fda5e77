"""One package for each kind, each with the same four files: handlers, observe, desired, status."""
