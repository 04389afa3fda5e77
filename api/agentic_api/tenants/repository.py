"""SQL of the row of a tenant, inside its own transaction."""

from sqlalchemy.dialects.postgresql import insert

from agentic_core.db import Repository, tables


class TenantRepository(Repository):
    """The tenant's own row."""

    async def keep(self, name: str) -> bool:
        """Make the row if it is not there. Returns whether it was made."""
        statement = insert(tables.tenants).values(tenant_id=self.tenant_id, name=name)
        made = statement.on_conflict_do_nothing().returning(tables.tenants.c.tenant_id)
        return (await self.session.execute(made)).one_or_none() is not None
