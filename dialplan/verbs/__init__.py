"""The verbs of the language, one file each, in the order of the manual."""

from __future__ import annotations

from collections.abc import Mapping

from dialplan.flow import Verb
from dialplan.verbs.answer import Answer
from dialplan.verbs.call import Call
from dialplan.verbs.conference import Conference
from dialplan.verbs.dial import Dial
from dialplan.verbs.enqueue import Enqueue
from dialplan.verbs.gather import Gather
from dialplan.verbs.goto import Goto
from dialplan.verbs.hangup import Hangup
from dialplan.verbs.hours import Hours
from dialplan.verbs.http import Http
from dialplan.verbs.if_ import If
from dialplan.verbs.loop import Loop
from dialplan.verbs.menu import Menu
from dialplan.verbs.message import Message
from dialplan.verbs.override import Override
from dialplan.verbs.play import Play
from dialplan.verbs.record import Record
from dialplan.verbs.return_ import Return
from dialplan.verbs.say import Say
from dialplan.verbs.set import Set
from dialplan.verbs.switch import Switch
from dialplan.verbs.tag import Tag
from dialplan.verbs.voicemail import Voicemail
from dialplan.verbs.wait import Wait

VERBS: Mapping[str, type[Verb]] = {
    verb.word: verb
    for verb in (
        *(Answer, Say, Play, Menu, Gather, Record),
        *(Dial, Conference, Enqueue, Voicemail),
        *(Hours, Override, If, Switch, Loop, Goto, Call, Return),
        *(Set, Http, Message, Tag, Wait, Hangup),
    )
}

UNBUILT: Mapping[str, str] = {
    "agent": "voice agents are not built yet",
    "fax": "a flow takes no faxes; a number of its own does: extensions: {NUMBER: {fax: {mode: auto}}}",
    "schedule": "opening hours are the verb `hours`",
    "transfer": "transfers are not built yet; `dial` connects the caller and ends the flow when they have talked",
}
"""Words that are known, and refused with the reason."""
