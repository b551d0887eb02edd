"""HTTP exchanges of flows: one request, one answer of bounded size in bounded time, to places they may go to.

A flow's URL may hold what a caller pressed. So an address of this machine itself, or of its link (where clouds keep
their credentials: 169.254.169.254), is never asked unless the settings name it. It is looked at when the connection is
made, after the name was resolved: a name that changes its address between two looks gains nothing. Redirects are not
followed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from dialplan.command import Http, Outcome, Reply

MOST_AT_ONCE = 200
Network = IPv4Network | IPv6Network
Ask = Callable[[Http, Callable[[Reply], None]], Callable[[], None]]
"""Asks, and gives what stops asking: the reply is not told then."""


class NotAllowed(OSError):
    """A flow may not go there."""


def may_be_asked(address: str, allowed: Sequence[Network]) -> bool:
    """Whether flows may ask this IP literal."""
    ip: IPv4Address | IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if any(ip in network for network in allowed):
        return True
    return not (ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast or ip.is_reserved)


class _Guard(AbstractResolver):
    """Resolves names to addresses that may be asked."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._names = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._names.resolve(host, port, family)
        good = [one for one in found if may_be_asked(one["host"], self._web.allowed)]
        if not good:
            raise NotAllowed("flows may not ask this address (dialplan.http_allow)")
        return good

    async def close(self) -> None:
        await self._names.close()


class Web:
    """Asks for flows. `allowed` may be assigned to; `close` ends what is under way."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self.allowed = allowed
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, command: Http, done: Callable[[Reply], None]) -> Callable[[], None]:
        """Begins an exchange; `done` hears its end unless what is returned is called before."""
        if len(self._tasks) >= MOST_AT_ONCE:
            done(_failed("too many exchanges are under way"))
            return lambda: None
        task = asyncio.get_running_loop().create_task(self._run(command, done), name="flow-http")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return lambda: None if task.done() else _ignore(task.cancel())

    async def close(self) -> None:
        for task in set(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _run(self, command: Http, done: Callable[[Reply], None]) -> None:
        done(await self.exchange(command))

    async def exchange(self, command: Http) -> Reply:
        """One exchange; never raises but for cancellation. Reasons hold nothing of the URL."""
        try:
            async with asyncio.timeout(command.timeout_s):
                return await self._exchange(command)
        except TimeoutError:
            return _failed(f"no whole answer within {command.timeout_s:g} s")
        except NotAllowed as error:
            return _failed(str(error))
        except aiohttp.ClientConnectorCertificateError:
            return _failed("its TLS certificate is not to be trusted")
        except aiohttp.InvalidURL:
            return _failed("this is no URL")
        except aiohttp.ClientConnectorError as error:
            cause = error.os_error
            return _failed(str(cause) if isinstance(cause, NotAllowed) else "it cannot be reached")
        except (aiohttp.ClientError, OSError, ValueError, RecursionError):
            return _failed("it gave no answer that can be read")

    async def _exchange(self, command: Http) -> Reply:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                force_close=True, limit=MOST_AT_ONCE, use_dns_cache=False, resolver=_Guard(self)
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a small answer cannot grow
                headers={"User-Agent": "pbxd"},
            )
        self._check_literal(command.url)
        async with self._session.request(
            command.method,
            command.url,
            json=command.body,
            headers={**(command.headers or {}), "Accept-Encoding": "identity"},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=command.timeout_s),
        ) as response:
            body = await _body(response, command.max_bytes)
        if body is None:
            return _failed(f"the answer has more than {command.max_bytes} bytes", status=response.status)
        if not 200 <= response.status < 300:
            return _failed(f"the answer was {response.status}", status=response.status)
        return Reply.read(Outcome.DONE, {"status": response.status, "body": _value(body)})

    def _check_literal(self, url: str) -> None:
        """An address that stands in the URL is resolved by nobody."""
        host = URL(url).host or ""
        try:
            good = may_be_asked(host, self.allowed)
        except ValueError:
            return  # a name
        if not good:
            raise NotAllowed("flows may not ask this address (dialplan.http_allow)")


async def _body(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    found = bytearray()
    async for chunk in response.content.iter_chunked(16_384):
        found += chunk
        if len(found) > most:
            return None
    return bytes(found)


def _value(body: bytes) -> Any:
    text = body.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _failed(reason: str, **more: object) -> Reply:
    return Reply.read(Outcome.FAILED, {"reason": reason, **more})


def _ignore(_value: object) -> None:
    return None
