"""`voicemail: 1001`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dialplan import command
from dialplan.command import Greeting, MailboxAction, Outcome, Reply
from dialplan.flow import NEXT, Branch, Move, Run, Verb, setting
from dialplan.kinds import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Voicemail(Verb):
    """Let the caller leave a message in a mailbox, or listen to theirs."""

    word: ClassVar[str] = "voicemail"
    answers: ClassVar[bool] = True
    waits: ClassVar[bool] = True
    voicemail: Text | None = setting(
        "the mailbox; empty with `action: listen` asks for it and its PIN", None, main=True
    )
    action: MailboxAction = setting("leave a message, or listen", MailboxAction.LEAVE)
    greeting: Greeting = setting("what the mailbox says first; auto is the one that fits", Greeting.AUTO)
    on_silence: Branch = setting("where to go when nothing was said", NEXT)
    on_full: Branch = setting("where to go when the mailbox is full", NEXT)
    on_failed: Branch = setting("where to go when there is no such mailbox, or the PIN was wrong", NEXT)

    def begin(self, run: Run) -> Move:
        mailbox = run.text(self.voicemail) if self.voicemail else None
        return command.Voicemail(mailbox, self.action, self.greeting)

    def resume(self, run: Run, reply: Reply) -> Move:
        branches = {
            Outcome.SILENCE: self.on_silence,
            Outcome.FULL: self.on_full,
            Outcome.FAILED: self.on_failed,
        }
        return branches.get(reply.outcome, NEXT)

    def wrong(self) -> str | None:
        """What does not fit together."""
        if self.voicemail is None and self.action is MailboxAction.LEAVE:
            return "names no mailbox"
        return None
