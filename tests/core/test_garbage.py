"""What the collector still looks at."""

import subprocess
import sys

PROGRAM = """
import gc, weakref
from agentic_core import garbage

class Thing:
    pass

garbage.spare()
frozen = gc.get_freeze_count()
assert frozen > 1000, frozen
thing = Thing()
thing.itself = thing
gone = weakref.ref(thing)
del thing
gc.collect()
assert gone() is None, "garbage that came later is collected"
assert gc.get_freeze_count() == frozen
"""


def test_only_what_existed_before_is_spared() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
