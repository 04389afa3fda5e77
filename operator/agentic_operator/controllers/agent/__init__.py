"""The kind Agent becomes revisions, and pods of its own when it is Dedicated."""
