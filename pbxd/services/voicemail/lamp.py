"""The lamp of a phone (RFC 3842): what it is told, and when."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable

from pbxd.calls.watchers import Watchers
from pbxd.directory.model import Aor
from pbxd.directory.registrar import PhoneRegistered
from pbxd.events import Bus
from pbxd.services.voicemail.archive import Archive
from pbxd.services.voicemail.rules import Counts, VoicemailChanged
from pbxd.sip.subscription import Package

PACKAGE = "message-summary"
CONTENT_TYPE = "application/simple-message-summary"


def summary(counts: Counts, account: str | None = None) -> bytes:
    """The body of a NOTIFY (RFC 3842 §5.2). Only voice messages are counted."""
    lines = [f"Messages-Waiting: {'yes' if counts.new else 'no'}"]
    if account is not None:
        lines.append(f"Message-Account: {account}")
    urgent = f"({counts.new_urgent}/{counts.old_urgent})"
    lines.append(f"Voice-Message: {counts.new}/{counts.old} {urgent}")
    return "".join(f"{line}\r\n" for line in lines).encode()


class Lamps:
    """Tells phones what waits for their users; those of `unsolicited` users without being asked. A user without a
    mailbox may ask as well, and hears that nothing waits: phones that are refused here ask again at once."""

    def __init__(
        self, archive: Archive, watchers: Watchers, bus: Bus, clock: Callable[[], float], domain: Callable[[str], str]
    ) -> None:
        self._archive = archive
        self._watchers = watchers
        self._clock = clock
        self._domain = domain
        self._shown: dict[Aor, Counts] = {}
        self.unsolicited: Collection[Aor] = frozenset()
        self.package = Package(PACKAGE, CONTENT_TYPE, self._body)
        watchers.offer(self.package)
        bus.subscribe(VoicemailChanged, self._changed)
        bus.subscribe(PhoneRegistered, self._registered)

    def _body(self, resource: Hashable) -> bytes:
        assert isinstance(resource, Aor)  # noqa: S101 - what watchers hand in
        box = self._archive.of_user(resource.account_id, resource.user)
        counts = Counts() if box is None else box.counts
        return summary(counts, f"sip:{resource.user}@{self._domain(resource.account_id)}")

    def _changed(self, event: VoicemailChanged) -> None:
        box = self._archive.box(event.account_id, event.mailbox)
        for user in box.users if box is not None else ():
            aor = Aor(event.account_id, user)
            if (
                box is None
                or self._archive.of_user(event.account_id, user) is not box
                or self._shown.get(aor) == box.counts
            ):
                continue
            self._shown[aor] = box.counts
            self._watchers.changed(self.package, aor, self._clock(), unsolicited=aor in self.unsolicited)

    def _registered(self, event: PhoneRegistered) -> None:
        if event.aor in self.unsolicited:
            self._watchers.tell_all(self.package, event.aor, self._clock())
