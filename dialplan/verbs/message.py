"""`message: "Please call ${caller.number} back."`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dialplan import command
from dialplan.command import MessageVia, Outcome, Reply
from dialplan.flow import NEXT, Branch, Move, Run, Verb, setting
from dialplan.kinds import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Verb):
    """Send a text to an extension's phones, or by mail."""

    word: ClassVar[str] = "message"
    message: Text = setting("what it says", main=True)
    to: Text = setting("an extension (SIP MESSAGE), or name@example.com (mail)")
    subject: Text | None = setting("the subject of a mail", None)
    on_failed: Branch = setting("where to go when it was not taken", NEXT)

    def begin(self, run: Run) -> Move:
        to = " ".join(run.text(self.to).split())
        via = MessageVia.MAIL if "@" in to else MessageVia.SIP
        subject = " ".join(run.text(self.subject).split()) if self.subject else ""
        return command.Message(via, to, run.text(self.message), subject)

    def resume(self, run: Run, reply: Reply) -> Move:
        return self.on_failed if reply.outcome is Outcome.FAILED else NEXT
