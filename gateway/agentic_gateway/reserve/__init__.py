"""Step 3 of a call: what it may spend, set aside before anything is sent."""
