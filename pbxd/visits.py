"""Where call flows meet mailboxes: a flow leads its caller to one, and takes them back."""

from __future__ import annotations

from collections.abc import Callable

from dialplan.command import Greeting, MailboxAction, Outcome
from dialplan.command import Voicemail as Command
from pbxd.calls.record import CallRecord
from pbxd.calls.stage import Act, Delegate, Stage
from pbxd.services.voicemail import Left, Reason, Voicemail

Done = Callable[[Left, float], None]

_OUTCOMES = {
    Left.DELIVERED: Outcome.DONE,
    Left.NOTHING: Outcome.SILENCE,
    Left.FULL: Outcome.FULL,
    Left.FAILED: Outcome.FAILED,
}

_REASONS = {
    Greeting.AUTO: Reason.UNAVAILABLE,
    Greeting.UNAVAILABLE: Reason.UNAVAILABLE,
    Greeting.BUSY: Reason.BUSY,
    Greeting.NONE: None,
}


class MailboxVisit(Delegate):
    """A caller at a mailbox, who is given back by hanging up; `outcome` says then what came of it."""

    def __init__(self, make: Callable[[Done], Act | None]) -> None:
        self._act = make(self._left)
        self._stage: Stage | None = None
        self.outcome = Outcome.DONE

    @property
    def possible(self) -> bool:
        """Whether there is such a mailbox."""
        return self._act is not None

    def begin(self, stage: Stage, now: float) -> None:
        self._stage = stage
        if self._act is not None:
            self._act.begin(stage, now)

    def _left(self, left: Left, now: float) -> None:
        self.outcome = _OUTCOMES[left]
        if self._stage is not None:
            self._stage.hangup(now, left.value)


def visits_of(voicemail: Voicemail) -> Callable[[Command, CallRecord], MailboxVisit | None]:
    """How flows reach the mailboxes of `voicemail`."""

    def visit(command: Command, record: CallRecord) -> MailboxVisit | None:
        def make(done: Done) -> Act | None:
            if command.action is MailboxAction.LISTEN:
                return voicemail.listening(record.account_id, command.mailbox)
            key = record.account_id, command.mailbox or ""
            return voicemail.leaving(key, _REASONS[command.greeting], done)

        found = MailboxVisit(make)
        return found if found.possible else None

    return visit
