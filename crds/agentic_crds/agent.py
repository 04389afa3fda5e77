"""The kind Agent: a model, a prompt, tools and limits; the operator resolves it, the api runs it."""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from agentic_crds.base import (
    LABEL_PATTERN,
    NUMERIC,
    READY_COLUMNS,
    Column,
    ConfigMapKeyRef,
    DNSLabel,
    Model,
    ModelName,
    Quantity,
    Resource,
    Scale,
    Status,
)
from agentic_crds.schema import CEL, SET_LIST, exactly_one, map_list

NAME_LIMIT = 52
"""Longest name of an agent: a revision adds a dash and ten digits, and a label value has at most 63 characters."""

SETTINGS_PREFIX = "AGENTIC_"
"""What the names of the platform's settings start with, in any case: programs read them so."""
RESERVED_NAME = "runtime"
"""The Dedicated runtime of an agent is called agent-<name>, and agent-runtime is the shared one."""

Temperature = Annotated[float, Field(ge=0, le=2), NUMERIC]
ToolName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
"""A name by which a model calls a tool: what all providers accept."""
BuiltinName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
"""The name of a tool in a runtime image."""
Port = Annotated[int, Field(ge=1, le=65535), NUMERIC]


class ModelRef(Model):
    """A model of a ModelProvider."""

    provider: DNSLabel | None = None
    """Name of a ModelProvider in the same namespace. Without it, the only provider that lists the model is taken."""
    name: ModelName
    """The provider's own name of the model."""


class AgentModel(ModelRef):
    """Which model answers, and how."""

    temperature: Temperature | None = None
    """Sampling temperature, from 0 to 2. Without it the provider decides."""
    max_output_tokens: Annotated[int, Field(ge=1, le=1000000), NUMERIC] = 4096
    """Maximum number of tokens in one response of the model."""
    fallbacks: Annotated[list[ModelRef], Field(max_length=8)] = []
    """Models tried in order when this one fails. Their providers speak the same wire protocol."""


class AgentTool(Model):
    """Something the agent may call: a name, and exactly one field that says what it is."""

    name: ToolName
    """Name by which the model calls it."""
    builtin: BuiltinName | None = None
    """Name of a tool that is installed in the runtime image, for example calculator."""


TOOL_RULE = exactly_one("builtin")


class Limits(Model):
    """Bounds of one run. They hold also in the middle of a response."""

    max_tokens: Annotated[int, Field(ge=1, le=1000000000), NUMERIC] = 100000
    """Input and output tokens of all model calls of a run."""
    max_execution_time: Annotated[int, Field(ge=1, le=86400), NUMERIC] = 300
    """Seconds that a run may take."""
    max_iterations: Annotated[int, Field(ge=1, le=1000), NUMERIC] = 25
    """Model calls that a run may make."""


class RuntimeMode(StrEnum):
    """Where the agent runs."""

    SHARED = "Shared"
    DEDICATED = "Dedicated"


class EnvVar(Model):
    """An environment variable of a Dedicated runtime."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"),
        CEL(
            f"!self.upperAscii().startsWith('{SETTINGS_PREFIX}')",
            f"names that start with {SETTINGS_PREFIX} are the platform's own settings",
            lambda name: not name.upper().startswith(SETTINGS_PREFIX),
        ),
    ]
    """Name of the variable; the platform's own settings start with AGENTIC_ and are not for agents to set."""
    value: Annotated[str, Field(max_length=4096)] = ""
    """Its value, in plain text: not the place for a secret."""


class ResourceAmounts(Model):
    """Compute resources of a container."""

    cpu: Quantity | None = None
    """CPU, for example 500m."""
    memory: Quantity | None = None
    """Memory, for example 512Mi."""


class Resources(Model):
    """Requests and limits of a container."""

    requests: ResourceAmounts = ResourceAmounts(cpu="50m", memory="192Mi")
    """What is reserved."""
    limits: ResourceAmounts = ResourceAmounts(memory="512Mi")
    """What is not exceeded."""


class Autoscaling(Model):
    """Scaling of a Dedicated runtime by its load."""

    min_replicas: Annotated[int, Field(ge=1, le=1000), NUMERIC] = 1
    """Fewest pods."""
    max_replicas: Annotated[int, Field(ge=1, le=1000), NUMERIC]
    """Most pods."""
    target_cpu: Annotated[int, Field(ge=1, le=100), NUMERIC] = 70
    """Mean CPU utilisation, in percent of the request, that is aimed at."""


class AgentRuntime(Model):
    """The pods that run the agent. All but the mode is for Dedicated."""

    mode: RuntimeMode = RuntimeMode.SHARED
    """Shared: in the namespace's common pods. Dedicated: in pods of its own."""
    replicas: Annotated[int, Field(ge=0, le=1000), NUMERIC] | None = None
    """Number of pods, 1 when empty; not together with autoscaling."""
    autoscaling: Autoscaling | None = None
    """Let the load decide the number of pods."""
    resources: Resources | None = None
    """Compute resources of each pod."""
    image: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[a-zA-Z0-9][-a-zA-Z0-9._:/@]*$")] | None = None
    """An image of your own that speaks the runtime protocol; the platform's when empty. It runs as user 10001."""
    env: Annotated[list[EnvVar], Field(max_length=64), map_list("name")] = []
    """Environment variables of the pods."""

    @property
    def has_pods_of_its_own(self) -> bool:
        """Whether something is set that only pods of its own can have."""
        own = (self.replicas, self.autoscaling, self.resources, self.image)
        return bool(self.env) or any(value is not None for value in own)


RUNTIME_RULES = (
    CEL(
        "self.mode == 'Dedicated' || !(has(self.replicas) || has(self.autoscaling) || has(self.resources)"
        " || has(self.image) || size(self.env) > 0)",
        "replicas, autoscaling, resources, image and env need mode Dedicated",
        lambda runtime: runtime.mode == RuntimeMode.DEDICATED or not runtime.has_pods_of_its_own,
    ),
    CEL(
        "!(has(self.replicas) && has(self.autoscaling))",
        "replicas and autoscaling exclude each other",
        lambda runtime: runtime.replicas is None or runtime.autoscaling is None,
    ),
    CEL(
        "!has(self.autoscaling) || self.autoscaling.minReplicas <= self.autoscaling.maxReplicas",
        "minReplicas must not exceed maxReplicas",
        lambda runtime: not runtime.autoscaling or runtime.autoscaling.min_replicas <= runtime.autoscaling.max_replicas,
    ),
)


class AgentSpec(Model):
    """Desired state of an agent."""

    description: Annotated[str, Field(max_length=1024)] = ""
    """What the agent is for, shown to people and to other agents."""
    capabilities: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=64), SET_LIST
    ] = []
    """Words by which the agent is found, for example data_analysis."""
    system_prompt: Annotated[str, Field(max_length=8192)] | None = None
    """The instructions of the agent. Longer ones go into a ConfigMap: systemPromptFrom."""
    system_prompt_from: ConfigMapKeyRef | None = None
    """Where the instructions of the agent are kept."""
    model: AgentModel
    """The model that answers."""
    tools: Annotated[list[Annotated[AgentTool, TOOL_RULE]], Field(max_length=64), map_list("name")] = []
    """What the agent may call."""
    limits: Limits = Limits()
    """Bounds of one run."""
    runtime: Annotated[AgentRuntime, *RUNTIME_RULES] = AgentRuntime()
    """The pods that run the agent."""
    revision_history_limit: Annotated[int, Field(ge=1, le=100), NUMERIC] = 10
    """How many revisions are kept."""


class AgentStatus(Status):
    """Observed state of an agent."""

    latest_revision: str | None = None
    """Name of the AgentRevision that the current spec resolves to."""
    ready_revision: str | None = None
    """Name of the AgentRevision that new runs use."""
    endpoint: str | None = None
    """URL of the runtime inside the cluster."""
    replicas: Annotated[int, Field(ge=0), NUMERIC] | None = None
    """Ready pods of the runtime."""
    selector: str | None = None
    """Label selector of the runtime's pods."""


class Agent(Resource):
    """An AI agent that the platform runs."""

    kind_name = "Agent"
    plural = "agents"
    short_names = ("ag",)
    columns = (
        Column(name="Model", json_path=".spec.model.name"),
        Column(name="Mode", json_path=".spec.runtime.mode"),
        Column(name="Revision", json_path=".status.readyRevision"),
        *READY_COLUMNS,
    )
    rules = (
        CEL(
            f"self.metadata.name.matches('{LABEL_PATTERN}')",
            "an agent's name is a DNS label, without dots",
            lambda agent: bool(re.search(LABEL_PATTERN, agent.metadata.name)),
        ),
        CEL(
            f"size(self.metadata.name) <= {NAME_LIMIT}",
            f"an agent's name has at most {NAME_LIMIT} characters",
            lambda agent: len(agent.metadata.name) <= NAME_LIMIT,
        ),
        CEL(
            f"self.metadata.name != '{RESERVED_NAME}'",
            f"an agent cannot be named {RESERVED_NAME}: its pods would be called like the shared ones",
            lambda agent: agent.metadata.name != RESERVED_NAME,
        ),
    )
    scale = Scale(spec=".spec.runtime.replicas", status=".status.replicas", selector=".status.selector")

    spec: Annotated[
        AgentSpec,
        CEL(
            "!(has(self.systemPrompt) && has(self.systemPromptFrom))",
            "systemPrompt and systemPromptFrom exclude each other",
            lambda spec: spec.system_prompt is None or spec.system_prompt_from is None,
        ),
    ]
    status: AgentStatus | None = None
