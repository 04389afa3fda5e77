"""The kind ModelProvider becomes the right to read its key, and a report whether it responds."""
