"""Runs the benchmarks: all of them, or those named on the command line. `make bench` calls it."""

import argparse
import importlib

MODULES = {
    "database": "transactions on the bare driver and sessions, on the one pool",
    "execute": "an agent's execution from HTTP request to stored answer",
    "gateway": "the model gateway against a direct call",
    "operator": "convergence of thousands of agents on a real API server",
    "runtime": "start, memory and CPU of the agent runtime",
    "upgrade": "writes of an upgraded operator over thousands of agents",
}


def main() -> None:
    """Each module has a `main()` that prints a table with a ratio to a baseline measured in the same run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *MODULES], help="which ones; all by default")
    for name in parser.parse_args().names or MODULES:
        print(f"\n== {name}: {MODULES[name]}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
