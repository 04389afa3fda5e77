"""The kind ModelProvider becomes the right to read its key, and the knowledge whether it answers."""
