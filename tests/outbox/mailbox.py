"""A real SMTP server on loopback, with STARTTLS, TLS and log-in, that can be told to misbehave."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from pbxd.certificates import Identity, self_signed, server_context

USER, PASSWORD = "pbx", "correct-horse"


class Mailbox:
    """What arrived, and what the server says. `replies` maps RCPT, DATA … to what it answers instead."""

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[Envelope] = []
        self.secure: list[bool] = []
        self.logins: list[str] = []
        self.greetings: list[str] = []
        self.replies: dict[str, str] = {}
        self.stall: asyncio.Event | None = None
        self.reached = asyncio.Event()

    async def handle_EHLO(  # noqa: N802 - the name is the library's
        self, _server: SMTP, session: Session, _envelope: Envelope, name: str, responses: list[str]
    ) -> list[str]:
        session.host_name = name
        self.greetings.append(name)
        return responses

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if "RCPT" not in self.replies:
            envelope.rcpt_tos.append(address)
        return self.replies.get("RCPT", "250 OK")

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.reached.set()
        if self.stall is not None:
            await self.stall.wait()
        if "DATA" in self.replies:
            return self.replies["DATA"]
        self.mails.append(envelope)
        self.secure.append(session.ssl is not None)
        return "250 2.0.0 queued as 42"

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any) -> AuthResult:
        self.logins.append(data.login.decode())
        good = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=good, handled=False)


def identity(path: Path) -> Identity:
    """A certificate for localhost and 127.0.0.1."""
    return self_signed(path, ["localhost", "127.0.0.1"], datetime.datetime.now(datetime.UTC))


@asynccontextmanager
async def serving(
    *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, login: bool = False, port: int = 0
) -> AsyncIterator[Mailbox]:
    """A mail server on 127.0.0.1."""
    mailbox = Mailbox()

    def made() -> SMTP:
        return SMTP(
            mailbox,
            hostname="mail.test",
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=mailbox.authenticate if login else None,
            auth_required=login,
            auth_require_tls=starttls is not None,
            loop=asyncio.get_running_loop(),
        )

    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", port, ssl=tls)
    async with server:
        mailbox.port = server.sockets[0].getsockname()[1]
        yield mailbox


def context(of: Identity) -> ssl.SSLContext:
    """The server's side of TLS with that certificate."""
    return server_context(of)
