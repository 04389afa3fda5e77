"""Tests of what spans all programs: one trace, logs with its names, and no text of a conversation in either."""
