"""The developer scripts: checked by shellcheck, and what they say to those who call them wrongly."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HACK = Path(__file__).parents[2] / "hack"
PROGRAMS = Path(sys.executable).parent
SCRIPTS = sorted(
    path
    for path in (
        HACK.parent / ".ci" / "run",
        *HACK.rglob("*.sh"),
        *(HACK / "images" / "dev-services" / "bin").iterdir(),
    )
    if path.suffix == ".sh" or path.read_text().startswith(("#!/bin/sh", "#!/usr/bin/env bash"))
)
DOCKERFILES = sorted(HACK.parent.glob("*/Dockerfile")) + sorted(HACK.glob("images/*/Dockerfile"))


def run(script: str, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [HACK / script, *args]
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


def shell(lines: str, cache: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """What the scripts share, in a script of the test's."""
    script = f"set -e; . {HACK}/lib.sh; . {HACK}/cluster/bare.sh; {lines}"
    return subprocess.run(
        ["bash", "-c", script],
        env=os.environ | {"AGENTIC_CACHE": str(cache)} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_who_comes_second_waits_and_says_so(tmp_path: Path) -> None:
    def caller(name: str) -> subprocess.Popen[str]:
        script = f". {HACK}/lib.sh; only_one thing; echo {name} >>{tmp_path}/order; echo here; read -r"
        return subprocess.Popen(
            ["bash", "-c", script],
            env=os.environ | {"AGENTIC_CACHE": str(tmp_path)},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    with caller("first") as first:
        assert first.stdout
        assert first.stdout.readline() == "here\n"
        with caller("second") as second:
            assert second.stderr
            assert second.stderr.readline() == "waiting for another call that works on thing\n"
            assert (tmp_path / "order").read_text() == "first\n"
            first.communicate("\n", timeout=30)
            second.communicate("\n", timeout=30)
    assert (tmp_path / "order").read_text() == "first\nsecond\n"


def test_what_goes_on_after_a_script_holds_no_lock_of_it_or_its_caller(tmp_path: Path) -> None:
    inner = f". {HACK}/lib.sh; . {HACK}/cluster/bare.sh; only_one inner; detached {tmp_path}/pid /dev/null sleep 50"
    done = shell(f"only_one outer; bash -c '{inner}'", tmp_path)
    assert done.returncode == 0, done.stderr
    try:
        for name in ("outer", "inner"):
            subprocess.run(["flock", "--timeout", "5", tmp_path / f"{name}.lock", "true"], check=True)
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    done = shell("need bash no-such-program", tmp_path)
    assert done.returncode == 1
    assert "error: not on the PATH: no-such-program" in done.stderr


def test_a_step_that_fails_on_a_full_disk_says_so(tmp_path: Path) -> None:
    stub = tmp_path / "bin" / "df"
    stub.parent.mkdir()
    stub.write_text("#!/bin/sh\nprintf 'Avail\\n   3M\\n'\n")
    stub.chmod(0o755)
    done = shell(f"log={tmp_path}/log; step working false", tmp_path)
    assert done.returncode == 1
    assert "only 3 MB are free" in done.stderr
    stub.write_text("#!/bin/sh\nprintf 'Avail\\n9000M\\n'\n")
    done = shell(f"log={tmp_path}/log; step working false", tmp_path)
    assert "MB are free" not in done.stderr
