"""The inventory's own rules and their errors: pure functions, the same for blocking code and for asyncio.

An error that leaves a writer rolls the whole transaction back, whether it is the database's or the application's.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

from sqlalchemy import CursorResult, Result

from dbkit.cmd.demo.models import FixedIP, FloatingIP, Instance

T = TypeVar("T", FloatingIP, Instance)


class InventoryError(Exception):
    """A request that the inventory refuses."""


class NotFound(InventoryError):
    """There is no such row."""


class Forbidden(InventoryError):
    """It belongs to another project."""


class AddressInUse(InventoryError):
    """The floating address leads to an instance already."""


class AddressNotInUse(InventoryError):
    """The floating address leads nowhere."""


class QuotaExceeded(InventoryError):
    """The instance has all the floating addresses that it may have."""


def owned(found: T | None, project_id: str, what: str) -> T:
    """Return what was found if the project may use it.

    :raises NotFound: nothing was found.
    :raises Forbidden: it belongs to another project.
    """
    if found is None:
        raise NotFound(f"{what} does not exist")
    if found.project_id != project_id:
        raise Forbidden(f"{what} belongs to another project")
    return found


def free(floating: FloatingIP) -> FloatingIP:
    """Return the address if it leads nowhere.

    :raises AddressInUse: it leads to an instance.
    """
    if floating.fixed_ip_id is not None:
        raise AddressInUse(f"{floating.address} is in use; disassociate it first, or move it")
    return floating


def used(fixed: FixedIP | None, address: str) -> FixedIP:
    """Return where an address leads.

    :raises AddressNotInUse: it leads nowhere.
    """
    if fixed is None:
        raise AddressNotInUse(f"{address} is not in use")
    return fixed


def within_quota(charged: Result[*tuple[Any, ...]], instance: Instance) -> None:
    """Refuse what the quota did not take.

    :param charged: the result of the UPDATE. It has a row count, which SQLAlchemy's types do not say.
    :raises QuotaExceeded: no row of the quota was changed.
    """
    if not cast("CursorResult[*tuple[Any, ...]]", charged).rowcount:
        raise QuotaExceeded(f"{instance.hostname} has all the floating addresses that its quota allows")
