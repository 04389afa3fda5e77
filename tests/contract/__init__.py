"""The contract between api and runtime in all versions that have landed: old readers, new writers, and the reverse."""
