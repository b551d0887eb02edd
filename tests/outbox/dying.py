"""A process that puts one request and delivers it, to be killed from outside. Arguments: URL of the store, URL."""

from __future__ import annotations

import asyncio
import sys

from pbxd.outbox import Outbox, Request, Rules, WebSender
from pbxd.services.deliveries import Deliveries
from pbxd.store import Store


async def main(store_url: str, url: str) -> None:
    store = await Store.open(store_url)
    async with WebSender(60.0) as web:
        outbox = Outbox(Deliveries(store), web, None, Rules(retry_s=(1,)))
        await outbox.start()
        item = await outbox.put_request("acc_1", Request(url, b"the body"), key="vm-1")
        print(item.id, flush=True)
        await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
