"""The level-triggered engine under all controllers: index, queue, reconcile, leadership; `main` runs it."""
