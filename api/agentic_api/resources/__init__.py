"""What the api needs to write and show custom resources of any kind: a writer, and models in snake_case."""
