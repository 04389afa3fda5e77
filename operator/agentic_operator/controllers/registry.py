"""All controllers of the operator; `main` passes them to the engine."""

from datetime import timedelta

from agentic_core.egress import Guard
from agentic_operator.controllers.agent.handlers import AgentController
from agentic_operator.controllers.model_provider.handlers import ModelProviderController
from agentic_operator.controllers.prompt_versions import PromptVersionController
from agentic_operator.controllers.shared_runtime import SharedRuntimeController
from agentic_operator.controllers.tenant.handlers import TenantController
from agentic_operator.controllers.tenant.observe import RECOUNT_AGE
from agentic_operator.desired.platform import PlatformSettings
from agentic_operator.engine.controller import AnyController


def controllers(
    platform: PlatformSettings, guard: Guard | None = None, *, recount_age: timedelta = RECOUNT_AGE
) -> tuple[AnyController, ...]:
    """The controllers. `guard` is the rule for providers' addresses, by default the platform's; `recount_age` is the
    minimum age of a tenant's quota that is created again."""
    rule = guard or Guard(private=platform.private_providers, foreign_namespace=platform.namespace)
    return (
        TenantController(platform, recount_age=recount_age),
        SharedRuntimeController(platform),
        ModelProviderController(platform, rule),
        PromptVersionController(),
        AgentController(platform),
    )
