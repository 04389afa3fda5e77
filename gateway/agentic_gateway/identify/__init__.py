"""Step 1 of a call: who calls. The run token, verified once."""
