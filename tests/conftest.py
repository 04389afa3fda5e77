"""Fixtures that every test may use, and the tiers of the suite."""

pytest_plugins = ["tests.support.apiserver", "tests.support.postgres", "tests.support.tiers", "tests.manifests.cluster"]
