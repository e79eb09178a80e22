"""What the inventory can do, for asyncio: the same blocks as in :mod:`dbkit.cmd.demo.api`, as coroutine functions.

The decorators, the context, the tables, the rules and the statements are the same; only what reaches the database is
awaited. Both files work on one database at once.
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
async def attach(context: RequestContext, address: str, instance_id: uuid.UUID) -> None:
    """Let a free floating address lead to an instance, at the expense of the instance's quota.

    :raises rules.InventoryError: it must not be.
    """
    session = context.async_session
    found = (await session.scalars(statements.instance(instance_id))).first()
    instance = rules.owned(found, context.project_id, "instance")
    floating = rules.owned((await session.scalars(statements.claim(address))).first(), context.project_id, address)
    rules.free(floating)
    rules.within_quota(await session.execute(statements.charge(instance_id, 1)), instance)
    fixed = (await session.scalars(statements.first_fixed_ip(instance_id))).one()
    session.add(floating.point_to(fixed.id, context.request_id))
    enginefacade.after_commit(context, partial(context.notify, f"{address} attached"))


@main_context.writer
async def detach(context: RequestContext, address: str) -> None:
    """Let a floating address lead nowhere, in favour of the instance's quota.

    :raises rules.InventoryError: it must not be.
    """
    session = context.async_session
    floating = rules.owned((await session.scalars(statements.claim(address))).first(), context.project_id, address)
    fixed = rules.used((await session.scalars(statements.fixed_ip(floating.fixed_ip_id))).first(), address)
    await session.execute(statements.charge(fixed.instance_id, -1))
    session.add(floating.point_to(None, context.request_id))
    enginefacade.after_commit(context, partial(context.notify, f"{address} detached"))


@main_context.writer.savepoint
async def attach_if_possible(context: RequestContext, address: str, instance_id: uuid.UUID) -> None:
    """Do as :func:`attach`, behind a savepoint: if it fails, the transaction around it can go on without it."""
    await attach(context, address, instance_id)


@main_context.writer
async def record(context: RequestContext, action: str) -> None:
    """Enter the request in the journal, with which it is stored or not stored."""
    context.async_session.add(Request(id=context.request_id, action=action))
    enginefacade.after_commit(context, partial(context.notify, f"{action} done"))


@main_context.writer.independent
async def record_attempt(context: RequestContext, action: str) -> None:
    """Enter an attempt in the audit, in a transaction of its own: it stays when the one around it is rolled back."""
    context.async_session.add(Attempt(request_id=context.request_id, action=action))


@main_context.writer
async def audit(context: RequestContext, action: str) -> None:
    """See to it that the attempt is on record, whatever becomes of this transaction; see the blocking one.

    In asyncio a hook may be a coroutine function; it is awaited.
    """
    if takes_one_writer_at_a_time():
        later = partial(record_attempt, context, action)
        enginefacade.after_commit(context, later)
        enginefacade.after_rollback(context, later)
    else:
        await record_attempt(context, action)


# -- requests --------------------------------------------------------------------------------------------------------


@main_context.writer
async def register(context: RequestContext, address: str) -> int:
    """Add a floating address; return how many were changed, which is none.

    :raises DBDuplicateEntry: it is there already.
    """
    await record(context, "register")
    context.async_session.add(FloatingIP(address=address, project_id=context.project_id))
    return 0


@main_context.writer
async def associate(context: RequestContext, address: str, instance_id: uuid.UUID) -> int:
    """Give an instance a floating address; return how often an address was changed."""
    await record(context, "associate")
    await attach(context, address, instance_id)
    return 1


@main_context.writer
async def disassociate(context: RequestContext, address: str) -> int:
    """Take a floating address away from its instance; return how often an address was changed."""
    await record(context, "disassociate")
    await detach(context, address)
    return 1


@main_context.writer
async def move(context: RequestContext, address: str, instance_id: uuid.UUID) -> int:
    """Take a floating address from its instance and give it to another; return how often an address was changed."""
    await record(context, "move")
    await audit(context, "move")
    await detach(context, address)
    await attach(context, address, instance_id)
    return 2


@main_context.writer
async def bulk_associate(context: RequestContext, addresses: Sequence[str], instance_id: uuid.UUID) -> int:
    """Give an instance those of the addresses that are free, as far as its quota goes; return how many those were."""
    await record(context, "bulk_associate")
    attached = 0
    for address in addresses:
        try:
            await attach_if_possible(context, address, instance_id)
        except (rules.AddressInUse, rules.QuotaExceeded):
            continue
        attached += 1
    return attached


@main_context.writer.isolation("SERIALIZABLE")
async def evacuate(context: RequestContext, source: uuid.UUID, target: uuid.UUID) -> int:
    """Move all floating addresses of an instance to another; return how often an address was changed."""
    await record(context, "evacuate")
    addresses = (await context.async_session.scalars(statements.addresses_of(source))).all()
    for address in addresses:
        await detach(context, address)
        await attach(context, address, target)
    return 2 * len(addresses)


@main_context.reader
async def usage(context: RequestContext, instance_id: uuid.UUID) -> tuple[int, int]:
    """Return how many floating addresses an instance's quota says that it has, and how many it has.

    :raises NotFound: there is no such instance.
    """
    row = (await context.async_session.execute(statements.usage(instance_id))).first()
    if row is None:
        raise rules.NotFound("instance does not exist")
    return row[0], row[1]
