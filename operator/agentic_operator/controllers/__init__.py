"""One package for each kind, each with the same files: handlers, observe, observed, desired, status.

`handlers` has the controller that the engine runs; it calls the others. Small controllers are one module.
"""
