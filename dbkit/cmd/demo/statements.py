"""The inventory's SQL. A statement is built once, by a pure function, and executed in either colour."""

from __future__ import annotations

import uuid

from sqlalchemy import Select, Update, func, select, update

from dbkit.cmd.demo.models import FixedIP, FloatingIP, Instance, Quota


def claim(address: str) -> Select[FloatingIP]:
    """A floating address, locked until the transaction ends, so that what is decided from it stays true.

    SQLite has no row locks and needs none: its writers come one after the other.
    """
    return (
        select(FloatingIP)
        .where(FloatingIP.address == address)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def instance(instance_id: uuid.UUID) -> Select[Instance]:
    """An instance."""
    return select(Instance).where(Instance.id == instance_id)


def first_fixed_ip(instance_id: uuid.UUID) -> Select[FixedIP]:
    """The fixed address of an instance to which floating ones lead."""
    return select(FixedIP).where(FixedIP.instance_id == instance_id).order_by(FixedIP.id).limit(1)


def fixed_ip(fixed_ip_id: int | None) -> Select[FixedIP]:
    """A fixed address."""
    return select(FixedIP).where(FixedIP.id == fixed_ip_id)


def charge(instance_id: uuid.UUID, count: int) -> Update:
    """Add to a quota if it allows it: compared and changed in one statement, so that no concurrent charge is lost.

    Its row count says whether the quota took it.
    """
    return (
        update(Quota)
        .where(Quota.instance_id == instance_id, Quota.in_use + count <= Quota.hard_limit)
        .values(in_use=Quota.in_use + count)
        .execution_options(synchronize_session=False)
    )


def addresses_of(instance_id: uuid.UUID) -> Select[str]:
    """The floating addresses that lead to an instance."""
    return (
        select(FloatingIP.address)
        .join(FixedIP, FixedIP.id == FloatingIP.fixed_ip_id)
        .where(FixedIP.instance_id == instance_id)
        .order_by(FloatingIP.address)
    )


def usage(instance_id: uuid.UUID) -> Select[int, int]:
    """What an instance's quota says, and what is counted, as of one moment."""
    counted = (
        select(func.count())
        .select_from(FloatingIP)
        .join(FixedIP, FixedIP.id == FloatingIP.fixed_ip_id)
        .where(FixedIP.instance_id == instance_id)
        .scalar_subquery()
    )
    return select(Quota.in_use, counted).where(Quota.instance_id == instance_id)
