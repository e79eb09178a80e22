"""What the inventory can do, for blocking code.

Each function is a block. Called by itself it is a transaction: it commits when it returns, and rolls back when it
raises. Called from another one it takes part in that one's transaction. So small functions make up larger ones, and
nobody passes a session or thinks about commits.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial

from dbkit import enginefacade
from dbkit.cmd.demo import rules, statements
from dbkit.cmd.demo.context import RequestContext, main_context, takes_one_writer_at_a_time
from dbkit.cmd.demo.models import Attempt, FloatingIP, Request

# -- what requests are made of ---------------------------------------------------------------------------------------


@main_context.writer
def attach(context: RequestContext, address: str, instance_id: uuid.UUID) -> None:
    """Let a free floating address lead to an instance, at the expense of the instance's quota.

    :raises rules.InventoryError: it must not be.
    """
    session = context.session
    instance = rules.owned(session.scalars(statements.instance(instance_id)).first(), context.project_id, "instance")
    floating = rules.owned(session.scalars(statements.claim(address)).first(), context.project_id, address)
    rules.free(floating)
    rules.within_quota(session.execute(statements.charge(instance_id, 1)), instance)
    fixed = session.scalars(statements.first_fixed_ip(instance_id)).one()
    session.add(floating.point_to(fixed.id, context.request_id))
    # Runs when the transaction is committed: not before, and not if that never happens.
    enginefacade.after_commit(context, partial(context.notify, f"{address} attached"))


@main_context.writer
def detach(context: RequestContext, address: str) -> None:
    """Let a floating address lead nowhere, in favour of the instance's quota.

    :raises rules.InventoryError: it must not be.
    """
    session = context.session
    floating = rules.owned(session.scalars(statements.claim(address)).first(), context.project_id, address)
    fixed = rules.used(session.scalars(statements.fixed_ip(floating.fixed_ip_id)).first(), address)
    session.execute(statements.charge(fixed.instance_id, -1))
    session.add(floating.point_to(None, context.request_id))
    enginefacade.after_commit(context, partial(context.notify, f"{address} detached"))


@main_context.writer.savepoint
def attach_if_possible(context: RequestContext, address: str, instance_id: uuid.UUID) -> None:
    """Do as :func:`attach`, behind a savepoint: if it fails, the transaction around it can go on without it."""
    attach(context, address, instance_id)


@main_context.writer
def record(context: RequestContext, action: str) -> None:
    """Enter the request in the journal, with which it is stored or not stored."""
    context.session.add(Request(id=context.request_id, action=action))
    enginefacade.after_commit(context, partial(context.notify, f"{action} done"))


@main_context.writer.independent
def record_attempt(context: RequestContext, action: str) -> None:
    """Enter an attempt in the audit, in a transaction of its own: it stays when the one around it is rolled back."""
    context.session.add(Attempt(request_id=context.request_id, action=action))


@main_context.writer
def audit(context: RequestContext, action: str) -> None:
    """See to it that the attempt is on record, whatever becomes of this transaction.

    A server takes the row at once. An SQLite file takes one writer at a time, and this one has not ended: there the
    row is written when it has, one way or the other.
    """
    if takes_one_writer_at_a_time():
        later = partial(record_attempt, context, action)
        enginefacade.after_commit(context, later)
        enginefacade.after_rollback(context, later)
    else:
        record_attempt(context, action)


# -- requests --------------------------------------------------------------------------------------------------------


@main_context.writer
def register(context: RequestContext, address: str) -> int:
    """Add a floating address; return how many were changed, which is none.

    :raises DBDuplicateEntry: it is there already. No need to look first: the database knows best.
    """
    record(context, "register")
    context.session.add(FloatingIP(address=address, project_id=context.project_id))
    return 0


@main_context.writer
def associate(context: RequestContext, address: str, instance_id: uuid.UUID) -> int:
    """Give an instance a floating address; return how often an address was changed."""
    record(context, "associate")
    attach(context, address, instance_id)
    return 1


@main_context.writer
def disassociate(context: RequestContext, address: str) -> int:
    """Take a floating address away from its instance; return how often an address was changed."""
    record(context, "disassociate")
    detach(context, address)
    return 1


@main_context.writer
def move(context: RequestContext, address: str, instance_id: uuid.UUID) -> int:
    """Take a floating address from its instance and give it to another; return how often an address was changed.

    If the second half is refused, the first one has not happened.
    """
    record(context, "move")
    audit(context, "move")
    detach(context, address)
    attach(context, address, instance_id)
    return 2


@main_context.writer
def bulk_associate(context: RequestContext, addresses: Sequence[str], instance_id: uuid.UUID) -> int:
    """Give an instance those of the addresses that are free, as far as its quota goes; return how many those were.

    An address that is in use is left out. One that belongs to another project makes the whole request fail.
    """
    record(context, "bulk_associate")
    attached = 0
    for address in addresses:
        try:
            attach_if_possible(context, address, instance_id)
        except (rules.AddressInUse, rules.QuotaExceeded):
            continue
        attached += 1
    return attached


@main_context.writer.isolation("SERIALIZABLE")
def evacuate(context: RequestContext, source: uuid.UUID, target: uuid.UUID) -> int:
    """Move all floating addresses of an instance to another; return how often an address was changed.

    What it lists first must be what it moves then: it runs as if no other transaction ran beside it.
    """
    record(context, "evacuate")
    addresses = context.session.scalars(statements.addresses_of(source)).all()
    for address in addresses:
        detach(context, address)
        attach(context, address, target)
    return 2 * len(addresses)


@main_context.reader
def usage(context: RequestContext, instance_id: uuid.UUID) -> tuple[int, int]:
    """Return how many floating addresses an instance's quota says that it has, and how many it has.

    :raises NotFound: there is no such instance.
    """
    row = context.session.execute(statements.usage(instance_id)).first()
    if row is None:
        raise rules.NotFound("instance does not exist")
    return row[0], row[1]
