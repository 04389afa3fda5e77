"""Step 3 of a call: what it may spend, reserved before anything is sent."""
