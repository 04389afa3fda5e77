"""SQL of the row of a tenant, inside its own transaction."""

from sqlalchemy.dialects.postgresql import insert

from agentic_core.db import Repository, tables


class TenantRepository(Repository):
    """The tenant's own row."""

    async def keep(self, name: str) -> None:
        """Make the row if it is not there."""
        statement = insert(tables.tenants).values(tenant_id=self.tenant_id, name=name)
        await self.session.execute(statement.on_conflict_do_nothing())
