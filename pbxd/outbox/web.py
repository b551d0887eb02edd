"""The shell that speaks HTTP. A request is delivered when its whole answer came and said so."""

from __future__ import annotations

import ssl
import time
from typing import Self

import aiohttp

from pbxd.outbox.item import Parcel
from pbxd.outbox.request import IDEMPOTENCY_HEADER, Request
from pbxd.outbox.verdict import Outcome, Verdict, of_http_status, temporary

MAX_ANSWER = 65_536


class WebSender:
    """Each request has a connection of its own: none is lost in one that the far side was just closing, and none is
    repeated behind our back. Neither cookies nor proxies nor redirects nor compressed answers."""

    def __init__(self, timeout_s: float, authorities: ssl.SSLContext | None = None) -> None:
        """`authorities` verifies the far side; None is the system's way."""
        self.timeout_s = timeout_s
        self._tls = authorities
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "pbxd"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, parcel: Parcel) -> Verdict:
        """Send it; never raises but for cancellation. Reasons hold nothing of the URL but what the network says."""
        request = Request.read(parcel.address, parcel.body)
        try:
            return await self._exchange(request, parcel.item.id)
        except aiohttp.ClientConnectorCertificateError:
            return temporary("its TLS certificate is not to be trusted", everyone=True)
        except aiohttp.ClientSSLError:
            return temporary("no TLS can be agreed on", everyone=True)
        except aiohttp.ClientConnectorError as error:
            return temporary(f"it cannot be reached: {error.strerror or 'no connection'}", everyone=True)
        except TimeoutError:
            return temporary(f"no whole answer within {self.timeout_s:g} s", everyone=True)
        except aiohttp.ClientPayloadError:
            return temporary("the answer broke off")
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            return temporary("the connection was closed before the answer")
        except (aiohttp.ClientError, ValueError):
            return temporary("the answer is not HTTP")

    async def _exchange(self, request: Request, item_id: str) -> Verdict:
        if self._session is None:
            return temporary("the sender is not open")
        async with self._session.request(
            request.method.value,
            request.url,
            data=request.body,
            headers={**request.headers, IDEMPOTENCY_HEADER: item_id},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=self.timeout_s),
            ssl=self._tls or True,
        ) as response:
            verdict = of_http_status(response.status, response.headers.get("Retry-After"), time.time())
            if verdict.outcome is Outcome.DELIVERED:
                await _read(response)  # an answer that breaks off confirms nothing
            return verdict


async def _read(response: aiohttp.ClientResponse) -> None:
    """Read to the end, or as far as anybody may expect us to."""
    size = 0
    async for chunk in response.content.iter_chunked(16_384):
        size += len(chunk)
        if size > MAX_ANSWER:
            return
