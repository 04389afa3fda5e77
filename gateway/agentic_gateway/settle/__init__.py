"""Step 6 of a call: what it cost, committed before the end of its response is sent."""
