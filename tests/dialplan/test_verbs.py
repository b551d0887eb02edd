"""Each verb by itself: what it asks of the world, and where each outcome leads."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from dialplan import command
from dialplan.command import Cause, Greeting, MailboxAction, Outcome, SoundKind, SpokenAs, Target
from dialplan.flow import Verb
from dialplan.spec import settings_of
from dialplan.verbs import UNBUILT, VERBS
from tests.dialplan.calling import NOW, Caller, call, library, of_steps


def test_no_setting_has_the_name_of_a_verb() -> None:
    """A step is told by the one verb in it."""
    for verb in VERBS.values():
        names = {one.key for one in settings_of(verb) if not one.main}
        assert names & (set(VERBS) | set(UNBUILT)) == set(), verb.word


def test_every_verb_is_whole() -> None:
    for word, verb in VERBS.items():
        assert verb.word == word
        assert verb.__doc__
        assert issubclass(verb, Verb)
        assert sum(one.main for one in settings_of(verb)) <= 1
        assert all(one.about for one in settings_of(verb))
        assert verb.begin is not Verb.begin, word
        assert all(one.metadata for one in fields(verb))


# ---- sound


def test_answer_is_asked_for_once() -> None:
    caller = Caller(of_steps("- answer\n- answer\n- say: Hello"))
    assert caller.last == command.Answer()
    caller.plays()
    assert [one.word for one in caller.commands] == ["answer", "say", "hangup"]


def test_what_is_heard_answers_first_and_a_dial_does_not() -> None:
    assert [one.word for one in Caller(of_steps("- say: Hello")).commands] == ["answer"]
    assert [one.word for one in Caller(of_steps("- dial: 1001")).commands] == ["dial"]
    caller = Caller(of_steps("- dial: 1001\n  on_answered: next\n- say: Hello"))
    caller.hears("answered")
    assert caller.last.word == "say", "who has talked to somebody has been answered"


def test_a_call_that_cannot_be_answered_is_over() -> None:
    caller = Caller(of_steps("- say: Hello"))
    assert caller.hears("failed") == command.Hangup(Cause.ERROR)
    assert caller.machine.ending == "failed"


def test_say_and_play_before_the_answer() -> None:
    steps = "- say: Closed\n  before_answer: true\n- play: sorry\n  before_answer: yes\n- hangup: busy"
    caller = Caller(of_steps(steps))
    caller.plays()
    assert [one.word for one in caller.commands] == ["say", "play", "hangup"]
    assert [getattr(one, "early", None) for one in caller.commands] == [True, True, None]


def test_say() -> None:
    caller = Caller(of_steps("- say: 'Call ${caller.number}'\n  as: digits\n  voice: joe\n  language: de"))
    said = caller.hears("done")
    assert isinstance(said, command.Say)
    assert said.sound == command.Sound(SoundKind.TEXT, "Call 1002", "de", "joe", SpokenAs.DIGITS)
    assert caller.hears("failed") == command.Hangup(), "what could not be said is no reason to hang up early"


def test_play() -> None:
    caller = Caller(of_steps("- play: [welcome, '${called.number}']", "language: fr\nvoice: anne"))
    played = caller.hears("done")
    assert isinstance(played, command.Play)
    assert [(one.kind, one.value, one.language, one.voice) for one in played.sounds] == [
        (SoundKind.PROMPT, "welcome", "fr", "anne"),
        (SoundKind.PROMPT, "500", "fr", "anne"),
    ]


def test_a_prompt_is_a_list_of_texts_and_recordings() -> None:
    steps = """
        - menu:
            - play: welcome
            - Press 1.
            - {say: "12", as: number}
          choices: {1: next}
          on_timeout: next
          on_invalid: next
    """
    asked = Caller(of_steps(steps)).hears("done")
    assert isinstance(asked, command.Gather)
    assert [(one.kind, one.value, one.spoken_as) for one in asked.sounds] == [
        (SoundKind.PROMPT, "welcome", SpokenAs.TEXT),
        (SoundKind.TEXT, "Press 1.", SpokenAs.TEXT),
        (SoundKind.TEXT, "12", SpokenAs.NUMBER),
    ]


# ---- menu and gather

MENU = """
    - menu: Press 1 or 22.
      choices: {1: a, 22: b}
      retries: 1
      timeout: 3s
      digit_timeout: 2
      barge_in: no
      timeout_prompt: Nothing came.
      invalid_prompt: Not that.
      on_timeout: [tag: silent]
      on_invalid: [tag: wrong]
"""


def test_menu_asks() -> None:
    assert Caller(of_steps(MENU)).hears("done") == command.Gather(
        sounds=(command.Sound(SoundKind.TEXT, "Press 1 or 22.", "en"),),
        max_digits=2,
        terminators="#",
        timeout_s=3.0,
        digit_timeout_s=2.0,
        barge_in=False,
    )


@pytest.mark.parametrize(
    ("script", "came"),
    [
        (["digits 1"], ["gather", "tag a"]),
        (["digits 22"], ["gather", "tag b"]),
        (["digits 2", "digits 22"], ["gather", "gather", "tag b"]),
        (["timeout", "timeout"], ["gather", "gather", "tag silent"]),
        (["timeout", "digits 9"], ["gather", "gather", "tag wrong"]),
        (["digits 9", "invalid"], ["gather", "gather", "tag wrong"]),
        (["speech one", "digits 1"], ["gather", "gather", "tag a"]),
        (["failed"], ["gather", "tag silent"]),
        (["error"], ["gather", "tag silent"]),
        (["hangup"], ["gather"]),
    ],
)
def test_menu_leads(script: list[str], came: list[str]) -> None:
    end = [] if script == ["hangup"] else ["hangup normal"]
    assert call(MENU, *script) == [*came, *end]


def test_menu_says_why_it_asks_again() -> None:
    caller = Caller(of_steps(MENU))
    caller.hears("done")
    again = caller.hears("digits", digits="9")
    assert isinstance(again, command.Gather)
    assert [one.value for one in again.sounds] == ["Not that.", "Press 1 or 22."]


def test_a_menu_with_hash_among_its_keys_is_not_ended_by_it() -> None:
    asked = Caller(of_steps(MENU.replace("22: b", "'#': b"))).hears("done")
    assert isinstance(asked, command.Gather)
    assert (asked.max_digits, asked.terminators) == (1, "")


GATHER = """
    - gather: Your PIN.
      save: pin
      min_digits: 2
      max_digits: 6
      pattern: "[1-9][0-9]*"
      retries: 1
      on_timeout: [tag: silent, hangup]
      on_invalid: [tag: wrong, hangup]
    - tag: "pin ${pin}"
"""


@pytest.mark.parametrize(
    ("script", "came"),
    [
        (["digits 12"], ["gather", "tag pin 12"]),
        (["digits 1", "digits 123456"], ["gather", "gather", "tag pin 123456"]),
        (["digits 01", "digits 02"], ["gather", "gather", "tag wrong"]),
        (["digits 1234567", "timeout"], ["gather", "gather", "tag silent"]),
        ([{"digits": ""}, {"digits": ""}], ["gather", "gather", "tag silent"]),
        (["invalid", "invalid"], ["gather", "gather", "tag wrong"]),
        (["failed"], ["gather", "tag silent"]),
    ],
)
def test_gather_leads(script: list[Any], came: list[str]) -> None:
    steps = GATHER.replace("[tag: silent, hangup]", "silent").replace("[tag: wrong, hangup]", "wrong")
    text = f"parts:\n  begin:{steps}\n  silent:\n    - tag: silent\n  wrong:\n    - tag: wrong\n"
    assert Caller(library(main=text)).plays(script) == [*came, "hangup normal"]


def test_gather_of_words() -> None:
    steps = """
        - gather: Who?
          input: both
          phrases: [Ann, "${caller.name}"]
          save: name
          pattern: "Ann|Bob"
          retries: 0
          on_timeout: hangup
          on_invalid: b
        - tag: "${name}"
    """
    asked = Caller(of_steps(steps)).hears("done")
    assert isinstance(asked, command.Gather)
    assert (asked.input, asked.phrases) == ("both", ("Ann", "Ann Example"))
    assert call(steps, "speech Ann") == ["gather", "tag Ann", "hangup normal"]
    assert call(steps, "speech Eve") == ["gather", "tag b", "hangup normal"]


# ---- record

RECORD = """
    - record: take
      prompt: Speak.
      max: 1m
      silence: 2s
      on_silence: a
      on_failed: b
    - tag: "kept ${take}"
"""


def test_record() -> None:
    assert Caller(of_steps(RECORD)).hears("done") == command.Record(
        sounds=(command.Sound(SoundKind.TEXT, "Speak.", "en"),), max_s=60.0, silence_s=2.0
    )
    assert call(RECORD, "recorded rec-1") == ["record", "tag kept rec-1", "hangup normal"]
    assert call(RECORD, "silence") == ["record", "tag a", "hangup normal"]
    assert call(RECORD, "failed") == ["record", "tag b", "hangup normal"]


def test_a_recording_can_be_reviewed() -> None:
    steps = RECORD.replace("max: 1m", "max: 1m\n      review: true")
    played = call(steps, "recorded r1", "digits 2", "digits 3", "recorded r2", "digits 1")
    assert played == ["record", "gather", "play r1", "gather", "record", "gather", "tag kept r2", "hangup normal"]
    assert call(steps, "recorded r1", "digits 3", "silence", "timeout")[-2:] == ["tag kept r1", "hangup normal"]
    again = ["recorded r", "digits 3"] * 5
    assert call(steps, *again).count("record") == 5, "five takes are enough"


# ---- dial

DIAL = """
    - dial: [1001, 1002]
      timeout: 10s
      save: came
      on_busy: a
      on_no_answer: b
    - tag: "on ${came}"
"""


@pytest.mark.parametrize(
    ("outcome", "came"),
    [
        ("answered", []),
        ("busy", ["tag a"]),
        ("no_answer", ["tag b"]),
        ("declined", ["tag on declined"]),
        ("unreachable", ["tag on unreachable"]),
        ("failed", ["tag on failed"]),
        ("error", ["tag on failed"]),
        ("done", ["tag on failed"]),
    ],
)
def test_dial_leads(outcome: str, came: list[str]) -> None:
    caller = Caller(of_steps(DIAL))
    caller.hears(outcome)
    caller.plays()
    assert caller.briefs == ["dial 1001, 1002", *came, "hangup normal"]


def test_dial_rings_with_all_that_is_said() -> None:
    steps = """
        - dial: ["1001", "${order}"]
          caller_id: "+4930${caller.number}"
          caller_name: "For ${called.number}"
          announce: A call.
          confirm: Press 1.
          ringback: music
          early_media: no
    """
    assert Caller(of_steps(steps, "variables: {order: 1003}")).last == command.Dial(
        targets=(Target("1001"), Target("1003")),
        timeout_s=25.0,
        caller_id="+49301002",
        caller_name="For 500",
        announce=(command.Sound(SoundKind.TEXT, "A call.", "en"),),
        confirm=(command.Sound(SoundKind.TEXT, "Press 1.", "en"),),
        ringback=command.Ringback.MUSIC,
        early_media=False,
    )


def test_sequential() -> None:
    steps = DIAL.replace("timeout: 10s", "strategy: sequential")
    assert call(steps, "no_answer", "answered") == ["dial 1001", "dial 1002", "hangup normal"]
    assert call(steps, "no_answer", "busy") == ["dial 1001", "dial 1002", "tag a", "hangup normal"]


@pytest.mark.parametrize(("index", "turns"), [(0, ["1", "2", "3"]), (1, ["2", "3", "1"]), (5, ["3", "1", "2"])])
def test_round_robin(index: int, turns: list[str]) -> None:
    caller = Caller(of_steps("- dial: [1, 2, 3]\n  strategy: round_robin"))
    assert caller.last == command.Rotate("main/begin.1", 3)
    caller.hears("done", index=index)
    assert caller.plays(["busy", "busy", "busy"])[1:] == [*(f"dial {number}" for number in turns), "hangup normal"]


def test_round_robin_of_one_and_without_a_turn() -> None:
    assert call("- dial: [1]\n  strategy: round_robin", "busy") == ["dial 1", "hangup normal"]
    caller = Caller(of_steps("- dial: [1, 2]\n  strategy: round_robin"))
    caller.hears("error")
    assert caller.last == command.Dial((Target("1"),), 25.0), "nobody knows whose turn it is: the first one's"


def test_trunks_take_over_from_each_other() -> None:
    steps = "- dial: ['030', '040']\n  strategy: sequential\n  trunk: [one, two]\n- tag: none"
    caller = Caller(of_steps(steps))
    went = []
    for outcome in ("failed", "busy", "unreachable", "failed"):
        assert isinstance(caller.last, command.Dial)
        went.append((caller.last.targets[0], outcome))
        caller.hears(outcome)
    assert [(target.number, target.trunk, outcome) for target, outcome in went] == [
        ("030", "one", "failed"),
        ("030", "two", "busy"),
        ("040", "one", "unreachable"),
        ("040", "two", "failed"),
    ]
    assert caller.last == command.Tag("none")


def test_dial_of_nobody() -> None:
    steps = "- dial: '${x}'\n  on_unreachable: a\n  save: came"
    assert call(steps, head="variables: {x: }") == ["tag a", "hangup normal"]


# ---- rooms, mailboxes


def test_conference() -> None:
    branches = "on_full: a\n  on_locked: b\n  on_failed: b"
    steps = f"- conference: 700\n  moderator: yes\n  muted: yes\n  {branches}\n- tag: left"
    assert Caller(of_steps(steps)).hears("done") == command.Conference("700", moderator=True, muted=True)
    came = {"left": "left", "full": "a", "locked": "b", "failed": "b"}
    assert {outcome: call(steps, outcome)[1] for outcome in came} == {key: f"tag {tag}" for key, tag in came.items()}


def test_voicemail() -> None:
    steps = "- voicemail: 1001\n  greeting: busy\n  on_silence: a\n  on_full: b\n  on_failed: hangup\n- tag: left"
    assert Caller(of_steps(steps)).hears("done") == command.Voicemail("1001", greeting=Greeting.BUSY)
    came = {"done": "tag left", "silence": "tag a", "full": "tag b", "failed": "hangup normal"}
    assert {outcome: call(steps, outcome)[1] for outcome in came} == came


def test_voicemail_is_listened_to() -> None:
    listening = Caller(of_steps("- voicemail:\n  action: listen")).hears("done")
    assert listening == command.Voicemail(None, MailboxAction.LISTEN)


# ---- ways

HOURS = """
    schedules:
      shop:
        weekly: {mon-fri: 09:00-17:00}
        dates: {01-06: holiday}
"""


@pytest.mark.parametrize(("days", "hour", "tag"), [(0, 12, "a"), (0, 17, "b"), (0, 8.99, "b"), (1, 12, "holiday")])
def test_hours(days: int, hour: float, tag: str) -> None:
    steps = "- hours: shop\n  open: a\n  closed: b\n  holiday: [tag: holiday]"
    caller = Caller(of_steps(steps, HOURS), now=NOW + days * 86_400 + (hour - 12) * 3600)
    assert caller.last == command.Tag(tag)


def test_a_holiday_without_a_branch_is_closed() -> None:
    caller = Caller(of_steps("- hours: shop\n  open: a\n  closed: b", HOURS), now=NOW + 86_400)
    assert caller.last == command.Tag("b")


def test_override() -> None:
    steps = "- override: shop\n  to: closed\n  lasts: 1h\n  on_failed: b\n- tag: done"
    caller = Caller(of_steps(steps, HOURS))
    assert caller.last == command.SetHours("shop", "closed", NOW + 3600)
    assert caller.hears("failed") == command.Tag("b")
    automatic = Caller(of_steps(steps.replace("closed", "auto").replace("  lasts: 1h\n", ""), HOURS))
    assert automatic.last == command.SetHours("shop", None, None)
    assert automatic.hears("done") == command.Tag("done")


def test_if() -> None:
    steps = "- if: caller.number == {}\n  then: a\n  else: b"
    assert call(steps.format("1002")) == ["tag a", "hangup normal"]
    assert call(steps.format("1003")) == ["tag b", "hangup normal"]
    assert call("- if: false\n  then: a\n- tag: after") == ["tag after", "hangup normal"]


def test_switch() -> None:
    steps = "- switch: caller.number\n  cases:\n    1001: a\n    '1002': b\n  default: hangup"
    assert call(steps) == ["tag b", "hangup normal"]
    assert call(steps.replace("caller.number", "caller.name")) == ["hangup normal"]


def test_loop() -> None:
    rounds = call("- loop: 3\n  steps:\n    - tag: round\n- tag: after")
    assert rounds == [*["tag round"] * 3, "tag after", "hangup normal"]
    steps = "- loop: 9\n  while: n < 2\n  steps:\n    - set: {n: '${n + 1}'}\n    - tag: '${n}'\n- tag: after"
    assert call(steps, head="variables: {n: 0}") == ["tag 1", "tag 2", "tag after", "hangup normal"]


def test_loops_in_loops_begin_anew() -> None:
    steps = "- loop: 2\n  steps:\n    - loop: 2\n      steps:\n        - tag: in\n    - tag: out"
    assert call(steps) == ["tag in", "tag in", "tag out", "tag in", "tag in", "tag out", "hangup normal"]


def test_a_loop_that_is_left_begins_anew() -> None:
    text = """
        parts:
          begin:
            - loop: 2
              steps:
                - gather: Number?
                  save: x
                  retries: 0
                  on_timeout: away
                  on_invalid: away
            - hangup
          away:
            - menu: Again?
              choices: {1: begin}
              retries: 0
              on_timeout: hangup
              on_invalid: hangup
    """
    script = ["digits 1", "timeout", "digits 1", "digits 1", "digits 1"]
    assert Caller(library(main=text)).plays(script) == [*["gather"] * 5, "hangup normal"]


def test_goto() -> None:
    assert call("- goto: b") == ["tag b", "hangup normal"]
    assert call("- goto: end") == ["hangup normal"]


SUB = """
    arguments: {name: , mood: glad}
    variables: {own: 1}
    parts:
      begin:
        - tag: "${name} ${mood} ${default(own, 'none')}"
        - set: {own: 5}
        - return: "${own + 1}"
"""


def test_call_and_return() -> None:
    main = """
        variables: {own: mine}
        parts:
          begin:
            - call: sub
              with: {name: "${caller.number}"}
              save: six
            - tag: "${six} ${own}"
    """
    assert Caller(library(main=main, sub=SUB)).plays() == ["tag 1002 glad 1", "tag 6 mine", "hangup normal"]


def test_return_of_a_flow_that_nobody_called_ends_the_call() -> None:
    assert call("- return: 1") == ["hangup normal"]
    assert call("- return") == ["hangup normal"]


def test_end_of_a_called_flow_goes_back_and_hangup_does_not() -> None:
    main = "parts:\n  begin:\n    - call: sub\n    - tag: back"
    assert Caller(library(main=main, sub="parts:\n  p:\n    - goto: end")).plays() == ["tag back", "hangup normal"]
    assert Caller(library(main=main, sub="parts:\n  p:\n    - hangup: busy")).plays() == ["hangup busy"]


# ---- the rest


def test_set_keeps_kinds() -> None:
    steps = """
        - set:
            n: 3
            zero: 0600
            text: "3"
            more: "${n + 1}"
            said: "n is ${n}"
            list: [1, "${n}", {deep: "${caller.name}"}]
            gone: null
            yes_: true
        - tag: done
    """.replace("yes_", "yea")
    caller = Caller(of_steps(steps))
    assert caller.machine.variables == {
        "n": 3,
        "zero": "0600",
        "text": "3",
        "more": 4,
        "said": "n is 3",
        "list": [1, 3, {"deep": "Ann Example"}],
        "gone": None,
        "yea": True,
    }


HTTP = """
    - http: https://crm.example/find/${caller.name}?n=${called.number}
      method: POST
      headers: {x-name: "${caller.name}"}
      json: {number: "${called.number}", list: [1, "${n}"]}
      timeout: 2s
      save: {name: customer.name, code: status, all: body, vip: customer.level > 3}
      on_failed: b
    - tag: "${name} ${code} ${vip}"
"""


def test_http_asks_and_keeps() -> None:
    caller = Caller(of_steps(HTTP, "variables: {n: 7}"))
    assert caller.last == command.Http(
        "https://crm.example/find/Ann%20Example?n=500",
        method="POST",
        headers={"x-name": "Ann Example"},
        body={"number": "500", "list": [1, 7]},
        timeout_s=2.0,
    )
    customer = {"name": "Ann", "level": 4}
    assert caller.hears("done", status=200, body={"customer": customer}) == command.Tag("Ann 200 true")


@pytest.mark.parametrize("body", [None, "text", [1], 5, {"customer": "x"}])
def test_http_answers_of_another_shape_are_null(body: Any) -> None:
    caller = Caller(of_steps(HTTP, "variables: {n: 7}"))
    assert caller.hears("done", status=200, body=body) == command.Tag(" 200 false")
    assert caller.machine.variables["all"] == body


@pytest.mark.parametrize("outcome", ["failed", "error", "busy"])
def test_http_that_failed(outcome: str) -> None:
    assert Caller(of_steps(HTTP, "variables: {n: 7}")).hears(outcome) == command.Tag("b")


def test_nothing_a_caller_says_becomes_another_host_or_header() -> None:
    steps = """
        - http: https://h.example/${x}
          headers: {x-own: "${x}"}
          on_failed: end
    """
    asked = Caller(of_steps(steps, "variables: {x: }"), x="@evil/\r\nHost: evil").last
    assert isinstance(asked, command.Http)
    assert asked.url == "https://h.example/%40evil%2F%0D%0AHost%3A%20evil"
    assert asked.headers == {"x-own": "@evil/ Host: evil"}


def test_message() -> None:
    steps = "- message: Call ${caller.number}\n  to: '${x}'\n  subject: Missed\n  on_failed: b\n- tag: sent"
    caller = Caller(of_steps(steps, "variables: {x: 1003}"))
    assert caller.last == command.Message(command.MessageVia.SIP, "1003", "Call 1002", "Missed")
    assert caller.hears("done") == command.Tag("sent")
    mail = Caller(of_steps(steps, "variables: {x: a@b.example}"))
    assert isinstance(mail.last, command.Message)
    assert mail.last.via is command.MessageVia.MAIL
    assert mail.hears("failed") == command.Tag("b")


def test_wait() -> None:
    assert Caller(of_steps("- wait: 1m30s\n- hangup")).last == command.Wait(90.0)


@pytest.mark.parametrize("cause", list(Cause))
def test_hangup(cause: Cause) -> None:
    caller = Caller(of_steps(f"- hangup: {cause}"))
    assert caller.last == command.Hangup(cause)
    assert caller.machine.ending == "hung_up"
    assert caller.hears(Outcome.DONE).word == "noop"
