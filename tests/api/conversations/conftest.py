"""Conversations are made by runs, so their tests share the fixtures of runs."""

from tests.api.runs.conftest import client, foreign, runs_api, runtime, stranger, tenant

__all__ = ["client", "foreign", "runs_api", "runtime", "stranger", "tenant"]
