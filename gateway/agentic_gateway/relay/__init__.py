"""Step 5 of a call: the response on its way to the caller."""
