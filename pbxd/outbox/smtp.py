"""The shell that speaks SMTP (RFC 5321), with STARTTLS (RFC 3207), implicit TLS (RFC 8314 §3) and AUTH (RFC 4954)."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import aiosmtplib

from pbxd.outbox.item import Parcel
from pbxd.outbox.letter import read_mail_address
from pbxd.outbox.verdict import Outcome, Verdict, of_smtp_reply, permanent, printable, temporary

PATIENCE = 4  # the whole of a delivery may take so many times the time of one step
GOODBYE_S = 1.0


class Security(StrEnum):
    """How the way to the mail server is protected. `STARTTLS` insists: a server without it gets no mail."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in. `authorities` is a PEM file of those trusted beside the system's, `timeout_s` is for one
    step of the conversation."""

    host: str
    port: int
    security: Security
    sender: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    authorities: Path | None = None
    timeout_s: float = 30.0


class SmtpSender:
    """Hands mail to one server. A connection carries one message, so no message inherits another one's troubles."""

    def __init__(self, server: MailServer) -> None:
        """Raises OSError where `authorities` cannot be read."""
        self.server = server
        self._context: ssl.SSLContext | None = None
        if server.security is not Security.NONE:
            self._context = ssl.create_default_context()
            if server.authorities is not None:
                try:
                    self._context.load_verify_locations(server.authorities)
                except OSError as error:
                    text = error.strerror or "it holds no certificate"
                    raise OSError(f"mail.authorities: {server.authorities} cannot be used: {text}") from error

    async def send(self, parcel: Parcel) -> Verdict:
        """Hand it in; never raises but for cancellation."""
        return await self.hand_in(read_mail_address(parcel.address), parcel.body)

    async def hand_in(self, to: str, message: bytes) -> Verdict:
        """Hand in `message` for one recipient. Delivered is only what the server took with a 250 after the last dot."""
        return await self._converse(lambda smtp: _handed_in(smtp, self.server.sender, to, message))

    async def knock(self, to: str) -> Verdict:
        """Everything but the message: connect, secure, log in, name sender and recipient, and take that back (RSET,
        RFC 5321 §4.1.1.5). Delivered means that the server would take a mail for `to`."""
        return await self._converse(lambda smtp: _let_in(smtp, self.server.sender, to))

    async def _converse(self, act: Callable[[aiosmtplib.SMTP], Awaitable[Verdict]]) -> Verdict:
        smtp = aiosmtplib.SMTP(
            hostname=self.server.host,
            port=self.server.port,
            local_hostname=self.server.sender.rpartition("@")[2],
            timeout=self.server.timeout_s,
            use_tls=self.server.security is Security.TLS,
            start_tls=self.server.security is Security.STARTTLS,
            tls_context=self._context,
        )
        try:
            async with asyncio.timeout(self.server.timeout_s * PATIENCE):
                verdict = await _connected(smtp, self.server) or await act(smtp)
        except TimeoutError:
            _drop(smtp, smtp.transport)
            return temporary("the mail server takes too long", everyone=True)
        except BaseException:
            _drop(smtp, smtp.transport)
            raise
        transport = smtp.transport
        with contextlib.suppress(asyncio.CancelledError):  # the verdict stands, and must not be lost over a goodbye
            await _hang_up(smtp)
        _drop(smtp, transport)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)  # the loop closes the socket in its next turn, which may be the last one
        return verdict


def _drop(smtp: aiosmtplib.SMTP, transport: asyncio.BaseTransport | None) -> None:
    """Closed at once: a polite end of TLS would wait for the far side."""
    smtp.close()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


async def _connected(smtp: aiosmtplib.SMTP, server: MailServer) -> Verdict | None:
    """Connect, secure, log in; why not, else None. A mistake in our settings costs no mail: it is tried again."""
    try:
        await smtp.connect()
        if smtp.is_ehlo_or_helo_needed:
            await _greet(smtp)
        if server.username is not None and server.password is not None:
            await smtp.login(server.username, server.password)
    except aiosmtplib.SMTPTimeoutError:
        return temporary("the mail server does not answer in time", everyone=True)
    except aiosmtplib.SMTPAuthenticationError as error:
        return temporary(f"the mail server refuses the log-in: {error.code}", everyone=True)
    except aiosmtplib.SMTPResponseException as error:
        return temporary(f"the mail server refuses us: {error.code} {error.message}", everyone=True)
    except (aiosmtplib.SMTPException, OSError) as error:
        return temporary(f"the mail server cannot be used: {_cause(error)}", everyone=True)
    except ValueError:
        return temporary("the settings of the mail server are not good", everyone=True)
    return None


async def _greet(smtp: aiosmtplib.SMTP) -> None:
    """RFC 5321 §3.2: EHLO, and HELO for a server that knows no other."""
    try:
        await smtp.ehlo()
    except aiosmtplib.SMTPHeloError:
        await smtp.helo()


async def _handed_in(smtp: aiosmtplib.SMTP, sender: str, to: str, message: bytes) -> Verdict:
    async def send() -> str:
        _, said = await smtp.sendmail(sender, [to], message)
        return said

    return await _judged(send)


async def _let_in(smtp: aiosmtplib.SMTP, sender: str, to: str) -> Verdict:
    async def ask() -> str:
        await smtp.mail(sender)
        answer = await smtp.rcpt(to)
        await smtp.rset()
        return answer.message

    return await _judged(ask)


async def _judged(act: Callable[[], Awaitable[str]]) -> Verdict:
    try:
        said = await act()
    except aiosmtplib.SMTPTimeoutError:
        return temporary("the mail server stalls", everyone=True)
    except aiosmtplib.SMTPRecipientsRefused as error:
        refused = error.recipients[0]
        return _answered(refused.code, refused.message)
    except aiosmtplib.SMTPResponseException as error:
        return _answered(error.code, error.message)
    except (aiosmtplib.SMTPException, OSError) as error:
        return temporary(f"the mail server broke off: {_cause(error)}")
    except ValueError:  # a command that cannot be written, which a checked address never leads to
        return permanent("the mail cannot be put into SMTP")
    return Verdict(Outcome.DELIVERED, printable(f"250 {said}"))


def _answered(code: int, text: str) -> Verdict:
    """A reply where only success goes on: a success code in its place is a confused server, not a delivery."""
    verdict = of_smtp_reply(code, text)
    return temporary(verdict.reason) if verdict.outcome is Outcome.DELIVERED else verdict


def _cause(error: BaseException) -> str:
    """What an error says, or the one behind it where it says more."""
    behind = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(behind, ssl.SSLError):
        return f"TLS: {getattr(behind, 'verify_message', None) or behind.reason or 'failed'}"
    if isinstance(behind, aiosmtplib.SMTPException):
        return behind.message
    return getattr(behind, "strerror", None) or type(behind).__name__


async def _hang_up(smtp: aiosmtplib.SMTP) -> None:
    """Say goodbye where that is possible."""
    with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
        if smtp.is_connected:
            await smtp.quit(timeout=GOODBYE_S)
