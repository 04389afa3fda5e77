"""All controllers of the operator; `main` passes them to the engine."""

from agentic_core.egress import Guard
from agentic_operator.controllers.agent.handlers import AgentController
from agentic_operator.controllers.model_provider.handlers import ModelProviderController
from agentic_operator.controllers.shared_runtime import SharedRuntimeController
from agentic_operator.controllers.tenant.handlers import TenantController
from agentic_operator.desired.platform import PlatformSettings
from agentic_operator.engine.controller import AnyController


def controllers(platform: PlatformSettings, guard: Guard | None = None) -> tuple[AnyController, ...]:
    """The controllers. `guard` is the rule for providers' addresses, by default the platform's."""
    rule = guard or Guard(private=platform.private_providers, foreign_namespace=platform.namespace)
    return (
        TenantController(platform),
        SharedRuntimeController(platform),
        ModelProviderController(platform, rule),
        AgentController(platform),
    )
