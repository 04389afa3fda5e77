"""The rows of runs: how they are written (`journal`, `statements`) and read by clients (`repository`)."""
