"""Step 2 of a call: which models of which providers may answer it, from the custom resources."""
