"""The sentences of the product brief that the platform fulfils, by id; tests carry `@requirement("id")`."""

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

REQUIREMENTS: dict[str, str] = {
    "agent-definition": "Agent Definition: agent_id, capabilities, tools, model, system_prompt, resource_limits",
    "api-auth-key": "API key authentication initially",
    "api-conversation-get": "GET /api/v1/conversations/:id  # Get conversation history",
    "api-create-agent": "POST /api/v1/agents  # Create agent",
    "api-execute": "POST /api/v1/agents/:id/execute  # Execute agent task",
    "api-get-agent": "GET /api/v1/agents/:id  # Get agent details",
    "audit": "Audit logging built-in",
    "cors": "CORS configuration",
    "crds": "Agents and Tenants are declared as Kubernetes CRDs",
    "data-isolation": "Data Isolation: Row-level security or database-per-tenant",
    "declarative": "kubectl apply of YAML manifests",
    "error-handling": "Comprehensive error handling",
    "execute-endpoint": "execute endpoint for tasks",
    "health": "Health checks and readiness probes",
    "helm": "Helm charts for deployment",
    "hpa": "Horizontal pod autoscaling",
    "input-sanitization": "Input sanitization",
    "input-validation": "Input validation on all endpoints",
    "langchain": "LangChain or LlamaIndex for agent orchestration",
    "observability": "Observability Built-In: Logging, metrics, tracing from day one",
    "openapi": "Documentation with OpenAPI/Swagger",
    "operator": "a Kopf operator reconciles them into runtime deployments, per-tenant namespaces, quotas",
    "plugins": "Plugin system for tools/capabilities",
    "providers": "LLM Integration: Provider abstraction (OpenAI/Anthropic/etc.)",
    "rate-limit": "Rate limiting on all endpoints",
    "runtime": "Agent Runtime: Simple execution environment for one agent",
    "schema-tables": "Tables: tenants, agents, conversations, messages, tool_executions",
    "secrets": "Secrets management (environment variables, then vault)",
    "state": "State Management: PostgreSQL for agent state and conversation history",
    "stateless": "Stateless Services: Push state to databases/cache",
    "tenant-context": "Every request carries tenant context through headers/JWT for proper isolation and routing.",
    "tenant-id": "Design with multi-tenancy from start (tenant_id in all tables)",
    "tenant-namespaces": "platform teams managing tenants as namespaces",
}

Test = TypeVar("Test", bound=Callable[..., Any])


def requirement(*ids: str) -> Callable[[Test], Test]:
    """Marks a test as the evidence for sentences of the brief."""

    def mark(test: Test) -> Test:
        for name in ids:
            test = pytest.mark.requirement(name)(test)
        return test

    return mark
