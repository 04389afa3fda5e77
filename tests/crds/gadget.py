"""Two kinds that the platform does not have: what the registry promises is tried with them."""

from typing import Annotated

from pydantic import Field

from agentic_crds import Access, KindEntry, Resource, Writer
from agentic_crds.base import AGE, NUMERIC, Column, Model, Status, condition_column


class GadgetSpec(Model):
    """Desired state of a gadget."""

    wheel_count: Annotated[int, Field(ge=1, le=8), NUMERIC] = 4
    """How many wheels it has."""
    colour: str = ""
    """Its colour."""


class Gadget(Resource):
    """Something that tenants write."""

    kind_name = "Gadget"
    plural = "gadgets"
    short_names = ("gg",)
    columns = (
        Column(name="Wheels", type="integer", json_path=".spec.wheelCount"),
        condition_column("Ready"),
        condition_column("Reason", "Ready", field="reason"),
        AGE,
    )

    spec: GadgetSpec
    status: Status | None = None


class GadgetRecord(Resource):
    """Something that the operator alone writes."""

    kind_name = "GadgetRecord"
    plural = "gadgetrecords"
    columns = (AGE,)

    spec: GadgetSpec


GADGET = KindEntry(model=Gadget, writer=Writer.TENANT, api=Access.WRITE, gateway=Access.READ, max_objects=30)
RECORD = KindEntry(model=GadgetRecord, writer=Writer.OPERATOR, api=Access.READ)
