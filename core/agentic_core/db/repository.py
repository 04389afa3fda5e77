"""What repositories are made of: a tenant's transaction, and selects that name the tenant; subclasses own the SQL."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from agentic_core.db import tables
from agentic_core.db.engine import Session, tenant_of


class Repository:
    """SQL of one domain inside one tenant's transaction."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @property
    def tenant_id(self) -> UUID:
        """The tenant whose rows this repository sees."""
        return tenant_of(self.session)

    def agent_id(self, namespace: Any, name: Any) -> sa.ScalarSelect[Any]:
        """The id of an agent's rows, as part of a statement that looks it up once."""
        agents = tables.agents
        named = self.select(agents, agents.c.id).where(agents.c.namespace == namespace, agents.c.name == name)
        return named.scalar_subquery()

    def select(self, table: sa.Table, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        """A select of this tenant's rows. Row-level security says it again, the condition lets indexes be used."""
        return sa.select(*(columns or (table,))).where(table.c.tenant_id == self.tenant_id)
