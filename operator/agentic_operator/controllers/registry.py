"""All controllers of the operator; `main` hands them to the engine."""

from typing import Any

from agentic_core.egress import Guard
from agentic_operator.controllers.agent.handlers import AgentController
from agentic_operator.controllers.model_provider.handlers import ModelProviderController
from agentic_operator.controllers.shared_runtime.handlers import SharedRuntimeController
from agentic_operator.controllers.tenant.handlers import TenantController
from agentic_operator.desired.platform import Platform
from agentic_operator.engine.controller import Controller


def controllers(platform: Platform, guard: Guard | None = None) -> tuple[Controller[Any, Any], ...]:
    """One controller for each kind. `guard` is the rule for providers' addresses, by default the platform's."""
    rule = guard or Guard(private=platform.private_providers, foreign_namespace=platform.namespace)
    return (
        TenantController(platform),
        SharedRuntimeController(platform),
        ModelProviderController(platform, rule),
        AgentController(platform),
    )
