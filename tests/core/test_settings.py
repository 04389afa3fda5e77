"""How programs say which settings they read, and which of them are wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from agentic_core.settings import PREFIX, Settings, load

BIN = Path(sys.executable).parent
PROGRAMS = {
    "agentic-api": "AGENTIC_DATABASE_URL",
    "agentic-gateway": "AGENTIC_RUN_TOKEN_PUBLIC_KEY_FILE",
    "agentic-operator": "AGENTIC_RUNTIME_IMAGE (required)",
    "agentic-runtime": "AGENTIC_NAMESPACE (required)",
}


class Example(Settings):
    """Settings of an example."""

    limit: int
    """How many."""
    secret: int = 0
    """Not to be shown."""


@pytest.mark.parametrize(("program", "variable"), PROGRAMS.items())
def test_help_lists_the_variables_that_a_program_reads(program: str, variable: str) -> None:
    shown = subprocess.run([BIN / program, "--help"], env={}, capture_output=True, text=True, check=True).stdout
    assert variable in shown
    assert "AGENTIC_LOG_LEVEL" in shown


def test_what_is_wrong_with_settings_is_said_without_their_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"{PREFIX}SECRET", "hunter2")
    with pytest.raises(SystemExit) as ended:
        load(Example)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "AGENTIC_LIMIT: Field required" in said
    assert "AGENTIC_SECRET: " in said
    assert "hunter2" not in said


def test_good_settings_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}LIMIT", "3")
    assert load(Example).limit == 3
