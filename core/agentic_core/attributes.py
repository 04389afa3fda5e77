"""Names of span attributes: OpenTelemetry's and our own, so that one module imports the conventions.

Every program that opens spans takes them from here. OpenTelemetry may still move its module of GenAI names.
"""

from typing import TYPE_CHECKING

from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.semconv.attributes import error_attributes as error
from opentelemetry.semconv.attributes import http_attributes as http
from opentelemetry.semconv.attributes import url_attributes as url

if TYPE_CHECKING:
    from agentic_core.contract import RunRequest

__all__ = ["PROVIDER", "REVISION", "RUN", "TENANT", "error", "gen_ai", "http", "invoke_agent", "url"]

RUN = "agentic.run"
TENANT = "agentic.tenant"
REVISION = "agentic.revision"
PROVIDER = "agentic.provider"


def invoke_agent(request: "RunRequest") -> dict[str, str]:
    """What the span of a run says, in the api as in the runtime."""
    return {
        gen_ai.GEN_AI_OPERATION_NAME: "invoke_agent",
        gen_ai.GEN_AI_PROVIDER_NAME: request.definition.wire.telemetry_name,
        gen_ai.GEN_AI_AGENT_NAME: request.agent,
        gen_ai.GEN_AI_AGENT_ID: f"{request.namespace}.{request.agent}",
        gen_ai.GEN_AI_CONVERSATION_ID: request.conversation_id,
        gen_ai.GEN_AI_REQUEST_MODEL: request.definition.models[0].name,
        RUN: request.run_id,
        TENANT: request.tenant,
        REVISION: request.revision,
    }
