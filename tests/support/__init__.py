"""What tests of several packages share: real servers and how to reach them."""

import os
from pathlib import Path

CACHE = Path(os.environ.get("AGENTIC_CACHE") or Path.home() / ".cache/agentic")
"""Where the scripts of hack/ keep built programs and clusters."""
