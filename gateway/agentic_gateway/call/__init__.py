"""Step 4 of a call: providers, with their keys, retries, fallbacks and circuits."""
