"""What counts against a source, what does not, and from where on: in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pbxd.directory.evidence import MAX_SOURCES, MEMORY_S, Cause, Charge, Evidence, Rate, Thresholds, source_key

LIMITS = Thresholds(agents=("friendly-scanner",))
HERE = "192.0.2.66"


@pytest.fixture
def evidence() -> Evidence:
    return Evidence(LIMITS)


def ask(evidence: Evidence, number: int | str, now: float, *, port: int = 5060, agent: str = "Phone") -> Charge | None:
    return evidence.asked(HERE, port, f"call-{number}-{now}", str(number), agent, now)


def guess(evidence: Evidence, username: str, now: float) -> Charge | None:
    looked_at = evidence.may_try(HERE, username, now)
    return evidence.wrong(HERE, username, now, looked_at=looked_at)


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::1"),
        ("::1", "::1"),
    ],
)
def test_under_what_a_source_is_kept(source: str, key: str) -> None:
    assert source_key(source) == key


def test_a_phone_that_asks_without_a_password_for_years_is_no_scanner(evidence: Evidence) -> None:
    """It registers each minute, and never answers the challenge."""
    assert [ask(evidence, 1001, 60.0 * minute) for minute in range(2000)] == [None] * 2000


def test_many_numbers_from_one_port_are_a_spray(evidence: Evidence) -> None:
    charges = [ask(evidence, 1000 + each, 0.01 * each) for each in range(10)]
    assert charges[:9] == [None] * 9
    assert charges[9] == Charge(Cause.SPRAY, "10 numbers, such as 1000, 1001, 1002, 1003, 1004", proven=False)


def test_a_slow_spray_over_many_ports_is_one_too(evidence: Evidence) -> None:
    charges = [ask(evidence, each, 0.5 * each, port=each) for each in range(40)]
    first = next(index for index, charge in enumerate(charges) if charge)
    assert 30 <= first <= 36
    assert charges[first] == Charge(Cause.SPRAY, f"{first - 3} numbers, such as {first}", proven=False)


def test_a_gateway_may_register_its_lines_at_once(evidence: Evidence) -> None:
    assert [ask(evidence, line, 0.001 * line) for line in range(16)] == [None] * 16
    evidence.proved(HERE, "0", "call", 0.06)
    assert [ask(evidence, line, 0.07 + 0.1 * line) for line in range(300)] == [None] * 300  # it has shown who it is


def test_an_office_behind_one_address_answers_its_challenges(evidence: Evidence) -> None:
    for phone in range(25):
        assert ask(evidence, phone, 0.1, port=10_000 + phone) is None
    evidence.proved(HERE, "7", "call", 0.2)
    assert ask(evidence, 26, 30.0) is None


def test_a_flood_for_one_number(evidence: Evidence) -> None:
    charges = [ask(evidence, 100, 0.01 * each) for each in range(600)]
    (first, *_) = [charge for charge in charges if charge]
    assert (first.cause, first.proven) == (Cause.FLOOD, False)
    assert [ask(Evidence(LIMITS), 100, 0.05 * each) for each in range(1000)] == [None] * 1000


def test_a_scanner_that_says_so(evidence: Evidence) -> None:
    charge = ask(evidence, 100, 0.0, agent="friendly-scanner 0.3")
    assert charge == Charge(Cause.SCANNER, "User-Agent friendly-scanner 0.3", proven=False)
    assert ask(evidence, 100, 0.1, agent="Not a friendly-scanner") is None


def test_a_list_of_passwords_is_guessing(evidence: Evidence) -> None:
    charges = [guess(evidence, "1001", 0.01 * each) for each in range(13)]
    assert charges[:12] == [None] * 12
    assert charges[12] == Charge(Cause.GUESSING, "13 for 1001 in 0.1 s", proven=True)


@pytest.mark.parametrize("interval_s", [0.2, 1.0, 5.0, 30.0, 300.0])
def test_a_phone_with_a_wrong_password_is_not(evidence: Evidence, interval_s: float) -> None:
    for attempt in range(2000):
        assert guess(evidence, "1001", attempt * interval_s) is None
    assert evidence.refused(HERE, "1001")
    (misconfigured,) = evidence.misconfigured()
    assert (misconfigured.source, misconfigured.username, misconfigured.failures) == (HERE, "1001", 2000)


def test_the_third_wrong_password_is_refused_plainly_until_the_right_one(evidence: Evidence) -> None:
    seen = []
    for attempt in range(4):
        guess(evidence, "1001", 30.0 * attempt)
        seen.append(evidence.refused(HERE, "1001"))
    assert seen == [False, False, True, True]
    assert not evidence.refused(HERE, "1002")
    evidence.proved(HERE, "1001", "call", 200.0)
    assert not evidence.refused(HERE, "1001")
    assert evidence.misconfigured() == []


def test_only_a_few_wrong_passwords_of_one_user_are_looked_at(evidence: Evidence) -> None:
    looked_at = 0
    for tenth in range(6000):  # ten minutes of guessing at two a second, below what is called guessing
        now = tenth * 0.1
        if tenth % 5 == 0:
            looked_at += evidence.may_try(HERE, "1001", now)
            guess(evidence, "1001", now)
    assert 60 <= looked_at <= 66  # five, then one in ten seconds
    assert evidence.may_try(HERE, "1002", 600.0)
    assert evidence.may_try("192.0.2.67", "1001", 600.0)
    assert evidence.may_try(HERE, "1001", 700.0)


def test_wrong_passwords_of_many_users(evidence: Evidence) -> None:
    charges = [guess(evidence, str(1000 + each), 0.1 * each) for each in range(10)]
    assert charges[:8] == [None] * 8
    assert charges[8] == Charge(Cause.MANY_USERS, "9 users, such as 1000, 1001, 1002, 1003, 1004", proven=True)
    slow = Evidence(LIMITS)
    assert [guess(slow, str(each), 60.0 * each) for each in range(60)] == [None] * 60


def test_it_takes_more_where_a_phone_has_proven_itself(evidence: Evidence) -> None:
    evidence.vouch(HERE, 0.0)
    charges = [guess(evidence, "1001", 0.001 * each) for each in range(50)]
    assert next(index for index, charge in enumerate(charges) if charge) == 48
    assert evidence.vouched(HERE, 3599.0)
    assert not evidence.vouched(HERE, 3600.0)


def test_messages_that_cannot_be_read(evidence: Evidence) -> None:
    charges = [evidence.malformed(HERE, False, 0.01 * each) for each in range(62)]
    assert [charge is None for charge in charges] == [True] * 60 + [False] + [True]
    assert charges[60] == Charge(Cause.MALFORMED, "60 messages that cannot be read", proven=False)
    slow = Evidence(LIMITS)
    assert [slow.malformed(HERE, True, 1.0 * each) for each in range(1000)] == [None] * 1000


def test_what_it_remembers_is_bounded(evidence: Evidence) -> None:
    for number in range(MAX_SOURCES + 100):
        evidence.malformed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", False, number * 0.001)
    assert len(evidence) == MAX_SOURCES
    roomy = Evidence(replace(LIMITS, numbers=10_000, users=Rate(1e9, 1), requests=Rate(1e9, 1)))
    for number in range(1000):
        roomy.asked(HERE, 1, f"{number}", "9" * 1000, "x" * 1000, 1.0)
        roomy.wrong(HERE, f"{number}" * 100, 1.0, looked_at=True)
    dossier = roomy._dossiers[HERE]
    assert (len(dossier.asked), len(dossier.users)) == (64, 64)
    assert max(map(len, dossier.users)) == 32
    evidence.expire(20.0 + MEMORY_S)
    assert len(evidence) == 0


def test_nothing_a_stranger_says_reaches_a_terminal_raw(evidence: Evidence) -> None:
    charge = ask(evidence, 1, 0.0, agent="friendly-scanner\x1b[2J\u202e")
    assert charge is not None
    assert charge.evidence == "User-Agent friendly-scanner?[2J?"
