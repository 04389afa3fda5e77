"""Settings that every program has. Each program derives one class from `Settings` and reads it once, at start."""

from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from environment variables with the prefix `AGENTIC_`."""

    model_config = SettingsConfigDict(env_prefix="AGENTIC_", frozen=True, extra="ignore", use_attribute_docstrings=True)

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log records that are written."""
    otlp_endpoint: str | None = None
    """Base URL of an OTLP/HTTP collector, for example http://collector:4318; no traces are exported without it."""
    host: str = "0.0.0.0"  # noqa: S104 - a pod's own address is not known before it starts
    """Address to listen on."""
    port: int = 8080
    """TCP port to listen on."""
