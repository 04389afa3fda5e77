"""The developer scripts: checked by shellcheck, and what they say to those who call them wrongly."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HACK = Path(__file__).parents[2] / "hack"
PROGRAMS = Path(sys.executable).parent
SCRIPTS = sorted(
    path
    for path in (*HACK.rglob("*.sh"), *(HACK / "images" / "dev-services" / "bin").iterdir())
    if path.suffix == ".sh" or path.read_text().startswith("#!/bin/sh")
)
DOCKERFILES = sorted(HACK.parent.glob("*/Dockerfile")) + sorted(HACK.glob("images/*/Dockerfile"))


def run(script: str, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [HACK / script, *args]
    return subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, timeout=60, check=False)


def test_shellcheck_has_nothing_to_say() -> None:
    done = subprocess.run(
        [PROGRAMS / "shellcheck", *SCRIPTS], capture_output=True, text=True, cwd=HACK.parent, check=False
    )
    assert done.returncode == 0, done.stdout


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run([PROGRAMS / "hadolint", *DOCKERFILES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "path", sorted(HACK.glob("images/*/*.txt")), ids=lambda path: f"{path.parent.name}-{path.name}"
)
def test_requirements_are_hashed_and_name_no_index(path: Path) -> None:
    text = path.read_text()
    pins = re.findall(r"^[\w.-]+==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert pins
    assert len(pins) == text.count("==")
    assert "://" not in text
    assert "index-url" not in text


def test_no_image_is_latest() -> None:
    for path in (*DOCKERFILES, *(HACK / "dev-services").glob("*.yaml")):
        assert ":latest" not in path.read_text(), path


def test_a_cluster_of_ones_own_that_does_not_answer_is_named() -> None:
    done = run("cluster-up.sh", AGENTIC_KUBECONFIG="/nowhere/kubeconfig")
    assert done.returncode == 1
    assert "AGENTIC_KUBECONFIG (/nowhere/kubeconfig) does not answer" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("name", ["Hub", "1st", "a/../b", "a" * 21])
def test_names_that_folders_and_control_groups_cannot_have_are_refused(name: str) -> None:
    done = run("cluster-up.sh", name, AGENTIC_KUBECONFIG="")
    assert done.returncode == 1
    assert f"cluster name '{name}'" in done.stderr


def test_a_platform_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    done = run("env.sh", AGENTIC_CACHE=str(tmp_path), AGENTIC_CLUSTER="nobody")
    assert done.returncode == 1
    assert "make quickstart" in done.stderr
    assert done.stdout == ""


def test_a_cluster_that_is_not_there_needs_no_stopping(tmp_path: Path) -> None:
    done = run("cluster-down.sh", "nobody", AGENTIC_CACHE=str(tmp_path))
    assert done.returncode == 0
    assert "there is no cluster nobody" in done.stderr
