"""What the definitions of a tenant may take of the cluster's storage, in bytes.

The Agent controller's `observe` reserves what a new revision needs.

Invariant: when a reservation is granted, what the index has of the tenant's revisions and prompts, and all that is
reserved and not there yet, is within the limit. There is no await between the sum and the reservation, so agents that
are reconciled at once cannot exceed it together. A lower limit deletes nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

from agentic_core import names
from agentic_core.cluster.kinds import Object, Ref
from agentic_core.quantity import format_quantity, parse_quantity
from agentic_core.resolve import ResolutionProblem
from agentic_crds import Tenant
from agentic_operator.controllers.kinds import PROMPT, REVISION
from agentic_operator.engine.index import Amount, Index

EXCEEDED = "DefinitionBudgetExceeded"
MEBIBYTE = 1024 * 1024
MAX_RETRIED = 8
"""How many refused agents are tried again when something was deleted; the others wait for their pause to end."""


def _stored_bytes(obj: Object) -> int:
    """What the operator noted when it made the object; nothing for those that were made before it did."""
    size = (obj["metadata"].get("annotations") or {}).get(names.STORED_BYTES, "")
    return int(size) if size.isdecimal() else 0


AMOUNTS = (Amount(REVISION, _stored_bytes), Amount(PROMPT, _stored_bytes))


@dataclass(frozen=True)
class TenantBudget:
    """The limit of a tenant, and where it holds."""

    tenant: str
    limit: int
    namespaces: Collection[str]

    @classmethod
    def of(cls, tenant: Tenant, namespaces: Collection[str]) -> "TenantBudget":
        """The budget that a Tenant sets."""
        return cls(tenant.metadata.name, int(parse_quantity(tenant.spec.quotas.definition_bytes)), namespaces)

    def used(self, index: Index) -> int:
        """Bytes of all revisions and prompts that exist."""
        return sum(index.total(amount.kind, namespace) for amount in AMOUNTS for namespace in self.namespaces)


@dataclass(frozen=True)
class _Reservation:
    tenant: str
    objects: Mapping[Ref, int]


class DefinitionBudgets:
    """What agents that are being reconciled are about to create."""

    def __init__(self) -> None:
        self._reserved: dict[Ref, _Reservation] = {}
        self._refused: dict[Ref, Collection[str]] = {}
        """Agents that found no room, in their order, with the namespaces whose objects share it."""

    def reserve(
        self, agent: Ref, needed: Mapping[Ref, int], budget: TenantBudget, *, index: Index
    ) -> ResolutionProblem | None:
        """Reserve the objects that do not exist yet, instead of what the agent had reserved before. The problem when
        they do not fit."""
        self._reserved.pop(agent, None)
        self._refused.pop(agent, None)
        missing = _missing(needed, index)
        if not missing:
            return None
        used = budget.used(index)
        if used + sum((self._pending(budget.tenant, index) | missing).values()) > budget.limit:
            self._refused[agent] = budget.namespaces
            return _exceeded(budget, used=used, needed=sum(missing.values()))
        self._reserved[agent] = _Reservation(budget.tenant, missing)
        return None

    def refused(self, namespace: str, index: Index) -> list[Ref]:
        """Agents that may find room since an object in this namespace was deleted."""
        self._refused = {agent: spaces for agent, spaces in self._refused.items() if index.entry(agent)}
        found = [agent for agent, spaces in self._refused.items() if namespace in spaces]
        return found[:MAX_RETRIED]

    def _pending(self, tenant: str, index: Index) -> dict[Ref, int]:
        """What is reserved and does not exist yet. An object that several agents need counts once."""
        self._reserved = {
            agent: found
            for agent, found in self._reserved.items()
            if index.entry(agent) and _missing(found.objects, index)
        }
        found = [_missing(one.objects, index) for one in self._reserved.values() if one.tenant == tenant]
        return {ref: size for objects in found for ref, size in objects.items()}


def _missing(objects: Mapping[Ref, int], index: Index) -> dict[Ref, int]:
    return {ref: size for ref, size in objects.items() if index.entry(ref) is None}


def _exceeded(budget: TenantBudget, *, used: int, needed: int) -> ResolutionProblem:
    limit = format_quantity(Decimal(budget.limit))
    message = (
        f"Definitions of tenant {budget.tenant} use {used / MEBIBYTE:.1f} Mi of {limit}, and the new revision needs"
        f" {max(needed / MEBIBYTE, 0.1):.1f} Mi; shorten prompts, lower revisionHistoryLimit, delete agents, or let the"
        " platform team raise spec.quotas.definitionBytes of the Tenant. The revision in use goes on serving"
    )
    return ResolutionProblem(EXCEEDED, message)
