"""Step 2 of a call: which models of which providers may respond to it, from the custom resources."""
