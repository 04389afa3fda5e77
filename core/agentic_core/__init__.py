"""What the programs of the platform share; imports nothing of theirs."""
