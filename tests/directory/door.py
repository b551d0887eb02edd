"""A door to knock at: an entrance with an authenticator behind it."""

from __future__ import annotations

from media.wire import Wire
from pbxd.config import Config
from pbxd.directory.accounts import Directory
from pbxd.directory.authentication import Authenticator, Verdict
from pbxd.directory.bans import Banned
from pbxd.directory.doorman import PhoneMisconfigured, Slowed
from pbxd.directory.evidence import Cause
from pbxd.directory.model import Aor
from pbxd.directory.registrar import Registrar
from pbxd.entrance import Entrance
from pbxd.events import Bus
from pbxd.sip.digest import Challenge, NonceBook, answer
from pbxd.sip.flow import Flow, Transport
from pbxd.store import Store
from tests.directory.requests import request

WALL = 1_800_000_000.0
ALGORITHMS = ("SHA-256", "MD5")


def flow_from(source: str, port: int = 5062, transport: Transport = Transport.UDP) -> Flow:
    reliable = transport is not Transport.UDP
    return Flow(transport, ("192.0.2.1", 5060), (source, port), socket=not reliable, connection=reliable)


class Door:
    """An entrance with an authenticator behind it. `events` is what was said on the bus."""

    def __init__(self, config: Config, wire: Wire, store: Store, directory: Directory) -> None:
        self.bus = Bus()
        self.events: list[object] = []
        for kind in (Banned, Slowed, PhoneMisconfigured):
            self.bus.subscribe(kind, self.events.append)
        self.directory = directory
        self.registrar = Registrar(store, self.bus, config.sip.registrar)
        self.entrance = Entrance(config, wire, store, directory, self.registrar, self.bus, lambda now: WALL + now)
        self.entrance.apply(config, 0.0)
        doorman = self.entrance.doorman
        nonces = NonceBook(b"secret")
        self.authenticator = Authenticator(directory, nonces, b"secret", ALGORITHMS, self.bus, doorman)
        self.doorman = doorman

    def knock(self, source: str, now: float, *, user: str = "1001", port: int = 5062, call: str = "") -> Verdict:
        """A REGISTER without credentials."""
        asked = request(user=user, call_id=call or f"{user}-{now}")
        return self.authenticator.check(asked, self.directory.default_account, flow_from(source, port), now)

    def log_in(
        self, source: str, now: float, *, user: str = "1001", password: str = "lab-1001", told: Verdict | None = None
    ) -> Verdict:
        """A REGISTER with credentials; for a challenge of its own, or one that somebody else was `told`."""
        call = f"{user}-{now}"
        challenge = told or self.knock(source, now, user=user, call=call)
        proof = answer(
            Challenge.parse(challenge.headers[0][1]),
            method="REGISTER",
            uri="sip:127.0.0.1",
            username=user,
            password=password,
            cnonce="c",
        )
        asked = request(user=user, call_id=call, headers=[f"Authorization: {proof}"])
        return self.authenticator.check(asked, self.directory.default_account, flow_from(source), now)

    def register(self, source: str, now: float) -> None:
        """A phone registers from there, for an hour."""
        account = self.directory.default_account
        device = self.directory.device(account, "1001")
        assert device is not None
        asked = request(headers=[f"Contact: <sip:1001@{source}:5062>", "Expires: 3600"])
        aor = Aor(account.id, "1001")
        assert self.registrar.register(aor, device, asked, flow_from(source), now, WALL + now).status == 200

    @property
    def banned(self) -> list[tuple[str, Cause]]:
        return [(ban.name, ban.cause) for ban in self.entrance.bans.active.values()]
