"""The outbox and the mail settings, in the house's own API."""

from __future__ import annotations

import asyncio

from pbxd.api.house.collaborators import House
from pbxd.api.house.operations import HOUSE
from pbxd.api.house.views import DeliveryPath, DeliveryView, MailTest, MailTestView, OutboxQuery, OutboxView
from pbxd.errors import Conflict, NotFound, Unavailable

MAIL_TEST_TIMEOUT_S = 25.0  # less than an operation may take, so that there is an answer

__all__ = ["HOUSE"]


@HOUSE.operation("GET", "/outbox", tag="outbox", scope="outbox:read", errors=(Unavailable,))
async def list_deliveries(house: House, query: OutboxQuery) -> OutboxView:
    """List deliveries, newest first.

    Neither their content nor URL paths and headers are shown. Pass `next` as `cursor` to get the page after.
    """
    items = await house.outbox.page(query.state, query.limit, query.cursor)
    more = items[-1].id if len(items) == query.limit else None
    return OutboxView(deliveries=[DeliveryView.of(item) for item in items], next=more)


@HOUSE.operation("GET", "/outbox/{id}", tag="outbox", scope="outbox:read", errors=(NotFound, Unavailable))
async def get_delivery(house: House, path: DeliveryPath) -> DeliveryView:
    """Get a delivery."""
    return DeliveryView.of(await house.outbox.get(path.id))


@HOUSE.operation(
    "POST", "/outbox/{id}/cancel", tag="outbox", scope="outbox:write", errors=(NotFound, Conflict, Unavailable)
)
async def cancel_delivery(house: House, path: DeliveryPath) -> DeliveryView:
    """Send a delivery no more.

    One that is being sent right now, or has ended, is a conflict.
    """
    return DeliveryView.of(await house.outbox.cancel(path.id))


@HOUSE.operation(
    "POST", "/outbox/{id}/retry", tag="outbox", scope="outbox:write", errors=(NotFound, Conflict, Unavailable)
)
async def retry_delivery(house: House, path: DeliveryPath) -> DeliveryView:
    """Try a delivery now.

    One that was given up lives again. One that arrived, was cancelled or is being sent is a conflict.
    """
    return DeliveryView.of(await house.outbox.retry(path.id))


@HOUSE.operation("POST", "/mail/test", tag="outbox", scope="outbox:write", errors=(Unavailable,))
async def test_mail(house: House, body: MailTest) -> MailTestView:
    """Send a test mail right now.

    The answer comes when the mail server took it; otherwise the error says why it did not.
    """
    try:
        async with asyncio.timeout(MAIL_TEST_TIMEOUT_S):
            return MailTestView(reply=await house.outbox.prove_mail(body.to))
    except TimeoutError:
        raise Unavailable(f"the mail server took longer than {MAIL_TEST_TIMEOUT_S:g} s") from None
