"""Writes the OpenAPI document of the REST api: `openapi.py FILE`, run by `make generate`."""

import json
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from agentic_api.app import create_app
from agentic_api.settings import ApiSettings
from agentic_core.web.metrics import HttpMetrics


def main() -> None:
    """Write the document into the file that the command line names. The application is not started."""

    def composition() -> None:
        raise RuntimeError("the application is not started")

    app = create_app(ApiSettings(), HttpMetrics(CollectorRegistry()), composition)  # type: ignore[arg-type]
    Path(sys.argv[1]).write_text(json.dumps(app.openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
