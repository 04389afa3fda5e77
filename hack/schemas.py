"""Writes the JSON schemas of a Kubernetes version and of the platform's own kinds into a folder: `schemas.py FOLDER`.

hack/kubeconform.sh calls it, because kubeconform would download them. They come from the package kubernetes-validate.
"""

import json
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from agentic_crds import GROUP, KINDS, VERSION
from agentic_crds.generate import schema

KUBERNETES = "v1.36.0"
DEFINITIONS = "_definitions.json"


def relative(node: Any) -> Any:
    """The schema with references to the file beside it, instead of an address on the internet."""
    if isinstance(node, dict):
        return {key: relative(value) for key, value in node.items() if key != "$id"}
    if isinstance(node, list):
        return [relative(item) for item in node]
    return node.replace(f"/api/{DEFINITIONS}", DEFINITIONS) if isinstance(node, str) else node


def strict(node: Any) -> Any:
    """The schema of a custom resource, closed to fields it does not name."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {key: strict(value) for key, value in node.items()}
    if "properties" in node and "additionalProperties" not in node:
        closed["additionalProperties"] = False
    return closed


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    bundled = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"{KUBERNETES}-local-strict"
    for file in bundled.iterdir():
        (folder / file.name).write_text(json.dumps(relative(json.loads(file.read_text()))))
    for kind in KINDS.models:
        name = f"{kind.kind_name.lower()}-{GROUP.split('.')[0]}-{VERSION}.json"
        (folder / name).write_text(json.dumps(strict(schema(kind))))


if __name__ == "__main__":
    main()
