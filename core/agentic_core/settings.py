"""Settings that every program has. Each program derives one class from `Settings` and reads it once, at start."""

import argparse
import sys
import textwrap
from typing import Literal, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "AGENTIC_"


class Settings(BaseSettings):
    """Read from environment variables with the prefix `AGENTIC_`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", use_attribute_docstrings=True)

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log records that are written."""
    otlp_endpoint: str | None = None
    """Base URL of an OTLP/HTTP collector, for example http://collector:4318; no traces are exported without it."""
    host: str = "0.0.0.0"  # noqa: S104 - a pod's own address is not known before it starts
    """Address to listen on."""
    port: int = 8080
    """TCP port to listen on."""


SettingsT = TypeVar("SettingsT", bound=Settings)


def load(kind: type[SettingsT]) -> SettingsT:
    """The settings of the environment. Where one is wrong, says which and ends the process with status 2."""
    try:
        return kind()
    except ValidationError as error:  # without inputs: some are secrets
        mistakes = error.errors(include_url=False, include_input=False, include_context=False)
        lines = [f"{PREFIX}{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in mistakes]
        sys.stderr.write("\n".join(["The settings in the environment are not valid:", *lines, ""]))
        raise SystemExit(2) from None


def parser(program: str, description: str, kind: type[Settings]) -> argparse.ArgumentParser:
    """The parser of a program's command line, whose help lists the variables that it reads."""
    return argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog="environment variables:\n" + "\n".join(_described(*variable) for variable in _variables(kind)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _variables(kind: type[Settings]) -> list[tuple[str, str]]:
    """Names and descriptions of the variables, those first that have to be set."""
    fields = sorted(kind.model_fields.items(), key=lambda item: not item[1].is_required())
    return [
        (f"{PREFIX}{name.upper()}{' (required)' if field.is_required() else ''}", field.description or "")
        for name, field in fields
    ]


def _described(name: str, description: str) -> str:
    text = textwrap.fill(" ".join(description.split()), width=100, initial_indent="      ", subsequent_indent="      ")
    return f"  {name}\n{text}"
