"""What flows work with on a call, handed in by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dialplan.command import Enqueue, Outcome, Voicemail
from dialplan.hours import Moment
from media.script import Line
from pbxd.calls.facilities import Facilities
from pbxd.calls.gate import Hold, Post
from pbxd.calls.record import CallRecord
from pbxd.calls.stage import Act
from pbxd.flows.take import Tapes
from pbxd.flows.web import Ask
from pbxd.services.conferences import Conferences

SendMail = Callable[[str, str, str, str, Callable[[str | None], None]], None]
"""(account id, to, subject, text, done): `done` hears None when it was taken, or why it was not."""


class Visitor(Act, Protocol):
    """An act of another service that a flow leads a caller through; it gives the stage back by hanging up."""

    @property
    def outcome(self) -> Outcome:
        """What came of it, once it has hung up."""


MakeVisitor = Callable[[Voicemail, CallRecord], Visitor | None]
"""The mailbox of a command for a call; None where there is no such mailbox."""


class Waiting(Visitor, Protocol):
    """A caller in a queue."""

    digits: str  # what led out of it


MakeWaiting = Callable[[Enqueue, CallRecord], Waiting | None]
"""The place in a queue of a command for a call; None where there is no such queue."""


@dataclass(slots=True)
class Limits:
    """Of one call in a flow; a reload replaces them."""

    steps: int = 2000


@dataclass(slots=True)
class Desk:
    """`moment` is the time with the overrides in force in an account, by its id; `override` sets one there; `turns` are
    those of its groups. `voicemail` and `enqueue` are None as long as there is no such
    service; so `check` refuses flows that need one. `tapes` is there once the house records."""

    facilities: Facilities
    conferences: Conferences
    ask: Ask
    send_mail: SendMail
    moment: Callable[[str, float], Moment]
    override: Callable[[str, str, str | None, float | None, str], str | None]
    hold: Hold = lambda _record, _caller, _found, targets: list(targets)
    post: Post = lambda _account_id, _caller, _called, _found, _source: None
    music: Callable[[str], Sequence[Line]] = lambda _account_id: ()
    voicemail: MakeVisitor | None = None
    enqueue: MakeWaiting | None = None
    mailboxes: Callable[[str], Collection[str]] = lambda _account_id: ()
    tapes: Tapes | None = None
    limits: Limits = field(default_factory=Limits)
    turns: dict[tuple[str, str], int] = field(default_factory=dict)

    def turn(self, account_id: str, key: str, size: int) -> int:
        """Whose turn it is in an account, of so many: each time it is the next one's."""
        turn = self.turns.get((account_id, key), 0)
        self.turns[account_id, key] = turn + 1
        return turn % max(1, size)

    @property
    def unserved(self) -> Mapping[str, str]:
        """Verbs that cannot be carried out yet, and why."""
        missing = {} if self.voicemail is not None else {"voicemail": "there are no mailboxes in this release"}
        return missing if self.enqueue is not None else missing | {"enqueue": "there are no queues in this release"}
