"""Digest as a server: who passes, who is asked again, and what a stranger can learn (nothing)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pbxd.directory import authentication
from pbxd.directory.accounts import Directory
from pbxd.directory.authentication import Authenticator, Outcome, Reason, Verdict
from pbxd.directory.passwords import made_up
from pbxd.events import Bus
from pbxd.sip.digest import Challenge, Credentials, NonceBook, answer, verify
from pbxd.sip.flow import Flow, Transport
from pbxd.sip.message import Request
from tests.directory.requests import request

NOW = 1000.0
SECRET = b"s" * 32
FLOW = Flow(Transport.UDP, ("192.0.2.1", 5060), ("192.0.2.7", 5062), socket=1)
ALGORITHMS = ("SHA-256", "MD5")


@pytest.fixture
def authenticator(directory: Directory) -> Authenticator:
    return Authenticator(directory, NonceBook(SECRET), SECRET, ALGORITHMS, Bus())


Check = Callable[..., Verdict]


@pytest.fixture
def check(authenticator: Authenticator, directory: Directory) -> Check:
    def checked(asked: Request, now: float = NOW, *, proxy: bool = False) -> Verdict:
        return authenticator.check(asked, directory.default_account, FLOW, now, proxy=proxy)

    return checked


def challenges(verdict: Verdict) -> list[Challenge]:
    return [Challenge.parse(value) for _, value in verdict.headers]


def credentials(
    challenge: Challenge,
    *,
    username: str = "1001",
    password: str = "lab-1001",
    method: str = "REGISTER",
    nc: int = 1,
) -> Credentials:
    return answer(
        challenge, method=method, uri="sip:127.0.0.1", username=username, password=password, cnonce="c", nc=nc
    )


def answered(proof: Credentials | str, *, header: str = "Authorization", method: str = "REGISTER") -> Request:
    return request(method, headers=[f"{header}: {proof}"])


def test_a_request_without_credentials_is_challenged_strongest_first(check: Check) -> None:
    verdict = check(request())
    assert (verdict.outcome, verdict.reason, verdict.status) == (Outcome.CHALLENGE, Reason.NO_CREDENTIALS, 401)
    assert [name for name, _ in verdict.headers] == ["WWW-Authenticate", "WWW-Authenticate"]
    assert [each.algorithm for each in challenges(verdict)] == ["SHA-256", "MD5"]
    assert {(each.realm, each.qop, each.stale) for each in challenges(verdict)} == {("lab.example", ("auth",), False)}


def test_a_proxy_challenge_is_a_407(check: Check) -> None:
    verdict = check(request("INVITE"), proxy=True)
    assert (verdict.status, {name for name, _ in verdict.headers}) == (407, {"Proxy-Authenticate"})


@pytest.mark.parametrize("index", [0, 1], ids=ALGORITHMS)
@pytest.mark.parametrize("header", ["Authorization", "Proxy-Authorization"])
@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "BYE"])
def test_the_right_password_passes(check: Check, index: int, header: str, method: str) -> None:
    challenge = challenges(check(request(method)))[index]
    verdict = check(answered(credentials(challenge, method=method), header=header, method=method))
    assert (verdict.outcome, verdict.reason, verdict.status) == (Outcome.PASS, Reason.PROVEN, 200)
    assert verdict.device is not None
    assert verdict.device.user == "1001"
    assert verdict.username == "1001"


def test_an_old_phone_without_qop_passes(check: Check) -> None:
    challenge = challenges(check(request()))[1]
    old = Challenge(challenge.realm, challenge.nonce, "MD5", ())
    proof = credentials(old)
    assert check(answered(proof)).outcome is Outcome.PASS
    again = check(answered(proof))
    assert (again.outcome, again.reason) == (Outcome.CHALLENGE, Reason.REPLAYED)
    assert all(each.stale for each in challenges(again))


@pytest.mark.parametrize(
    ("uri", "passes"),
    [
        ("sip:127.0.0.1", True),
        ("sip:127.0.0.1:5060;transport=tcp", True),
        ("sip:1001@127.0.0.1", True),  # the REGISTER's URI has no user that this could contradict
        ("sip:LAB.example.com", False),
        ("sip:1001@evil.example", False),
        ("127.0.0.1", False),
        ("", False),
    ],
)
def test_credentials_are_good_for_the_request_they_were_made_for(check: Check, uri: str, passes: bool) -> None:
    challenge = challenges(check(request()))[0]
    proof = answer(challenge, method="REGISTER", uri=uri, username="1001", password="lab-1001", cnonce="c")
    verdict = check(answered(proof))
    assert (verdict.outcome, verdict.reason, verdict.status) == (
        (Outcome.PASS, Reason.PROVEN, 200) if passes else (Outcome.REFUSED, Reason.OTHER_URI, 400)
    )


def test_what_a_phone_said_to_somebody_it_called_dials_nothing_here(check: Check) -> None:
    challenge = challenges(check(request("INVITE")))[0]
    proof = answer(challenge, method="INVITE", uri="sip:eve@eve.example", username="1001", password="lab-1001",
                   cnonce="c")  # fmt: skip
    assert check(answered(proof, method="INVITE")).reason is Reason.OTHER_URI


def test_a_count_passes_once(check: Check) -> None:
    challenge = challenges(check(request()))[0]
    assert check(answered(credentials(challenge, nc=1))).outcome is Outcome.PASS
    assert check(answered(credentials(challenge, nc=2))).outcome is Outcome.PASS
    replayed = check(answered(credentials(challenge, nc=2)))
    assert (replayed.outcome, replayed.reason) == (Outcome.CHALLENGE, Reason.REPLAYED)
    assert all(each.stale for each in challenges(replayed))
    assert check(answered(credentials(challenges(replayed)[0]))).outcome is Outcome.PASS


def test_an_old_nonce_is_stale_whatever_was_answered_to_it(check: Check) -> None:
    challenge = challenges(check(request()))[0]
    for password in ("lab-1001", "guess"):
        verdict = check(answered(credentials(challenge, password=password)), NOW + 301)
        assert (verdict.reason, [each.stale for each in challenges(verdict)]) == (Reason.STALE, [True, True])


def test_a_nonce_that_went_elsewhere_or_is_made_up_tells_nothing_of_the_password(
    authenticator: Authenticator, directory: Directory, check: Check
) -> None:
    """Whoever cannot be reached at the address he names could guess for ever without being held to account."""
    elsewhere = Flow(Transport.UDP, FLOW.local, ("192.0.2.8", 5062), socket=1)
    challenge = challenges(check(request()))[0]
    made_up = Challenge("lab.example", "bm90IG91cnM=", "SHA-256")
    for told, reason in ((challenge, Reason.ELSEWHERE), (made_up, Reason.FORGED)):
        seen = []
        for password in ("lab-1001", "guess"):
            asked = answered(credentials(told, password=password))
            verdict = authenticator.check(asked, directory.default_account, elsewhere, NOW)
            assert (verdict.outcome, verdict.reason) == (Outcome.CHALLENGE, reason)
            assert all(each.stale for each in challenges(verdict))
            seen.append(_shape(verdict))
        assert seen[0] == seen[1]
    assert authenticator.failures[Reason.WRONG] == 0
    moved = authenticator.check(request(), directory.default_account, elsewhere, NOW)
    asked = answered(credentials(challenges(moved)[0]))
    assert authenticator.check(asked, directory.default_account, elsewhere, NOW).outcome is Outcome.PASS


def test_a_nonce_that_is_not_ours_is_forged(check: Check) -> None:
    challenge = Challenge("lab.example", "bm90IG91cnM=", "SHA-256")
    assert check(answered(credentials(challenge))).reason is Reason.FORGED


def test_a_stranger_and_a_wrong_password_get_the_same_answer(check: Check) -> None:
    challenge = challenges(check(request()))[0]
    wrong = check(answered(credentials(challenge, password="guess")))
    unknown = check(answered(credentials(challenge, username="9999", password="guess")))
    for verdict in (wrong, unknown):
        assert (verdict.outcome, verdict.reason, verdict.status, verdict.device) == (
            Outcome.CHALLENGE,
            Reason.WRONG,
            401,
            None,
        )
    assert _shape(wrong) == _shape(unknown)


def _shape(verdict: Verdict) -> list[tuple[str, str]]:
    """The challenges without their nonces."""
    return [
        (name, value.replace(each.nonce, ""))
        for (name, value), each in zip(verdict.headers, challenges(verdict), strict=True)
    ]


def test_a_stranger_costs_the_same_work(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is asked for: one HA1 is made up, one response is computed."""
    work: list[str] = []

    def counted_verify(*arguments: object) -> bool:
        work.append("verify")
        return verify(*arguments)  # type: ignore[arg-type]

    def counted_made_up(secret: bytes, username: str, algorithm: str) -> str:
        work.append("made up")
        return made_up(secret, username, algorithm)

    monkeypatch.setattr(authentication, "verify", counted_verify)
    monkeypatch.setattr(authentication, "made_up", counted_made_up)
    challenge = challenges(check(request()))[1]
    done = []
    for username in ("1001", "9999"):
        work.clear()
        check(answered(credentials(challenge, username=username, password="guess")))
        done.append(tuple(work))
    assert done == [("made up", "verify")] * 2


def test_the_made_up_secret_does_not_open_the_door(authenticator: Authenticator, check: Check) -> None:
    for index, algorithm in enumerate(ALGORITHMS):
        challenge = challenges(check(request()))[index]
        secret = made_up(authenticator._secret, "9999", algorithm)
        proof = answer(
            challenge, method="REGISTER", uri="sip:127.0.0.1", username="9999", ha1s={algorithm: secret}, cnonce="c"
        )
        assert check(answered(proof)).reason is Reason.WRONG


def test_credentials_for_another_realm_are_no_credentials(check: Check) -> None:
    challenge = challenges(check(request()))[0]
    other = Challenge("other.example", challenge.nonce, "SHA-256")
    assert check(answered(credentials(other))).reason is Reason.NO_CREDENTIALS
    both = request(headers=[f"Authorization: {credentials(other)}", f"Authorization: {credentials(challenge)}"])
    assert check(both).outcome is Outcome.PASS


@pytest.mark.parametrize("algorithm", ["SHA-512-256", "MD5-sess", "SHA-256-SESS"])
def test_an_algorithm_that_was_not_offered_is_challenged(check: Check, algorithm: str) -> None:
    nonce = challenges(check(request()))[0].nonce
    proof = credentials(Challenge("lab.example", nonce, algorithm))
    assert check(answered(proof)).reason is Reason.UNKNOWN_ALGORITHM


def test_an_algorithm_taken_from_the_offer_is_refused(check: Check, authenticator: Authenticator) -> None:
    challenge = challenges(check(request()))[1]
    authenticator.algorithms = ("SHA-256",)
    assert check(answered(credentials(challenge))).reason is Reason.UNKNOWN_ALGORITHM
    assert [each.algorithm for each in challenges(check(request()))] == ["SHA-256"]


def test_an_integrity_that_was_not_offered_is_challenged(check: Check) -> None:
    nonce = challenges(check(request()))[0].nonce
    proof = credentials(Challenge("lab.example", nonce, "SHA-256", ("auth-int",)))
    assert check(answered(proof)).reason is Reason.UNKNOWN_ALGORITHM


@pytest.mark.parametrize(
    "line", ["Digest", "Digest realm", 'Digest username="1001"', 'Digest username="1001, realm="lab.example"']
)
def test_broken_credentials_are_refused_or_challenged_but_never_pass(check: Check, line: str) -> None:
    verdict = check(answered(line))
    assert verdict.device is None
    assert (verdict.outcome, verdict.status) in ((Outcome.REFUSED, 400), (Outcome.CHALLENGE, 401))


def test_broken_digest_credentials_are_refused(check: Check) -> None:
    verdict = check(answered('Digest username="1001"'))
    assert (verdict.outcome, verdict.reason, verdict.status) == (Outcome.REFUSED, Reason.MALFORMED, 400)
    assert verdict.headers == ()


def test_another_scheme_is_challenged(check: Check) -> None:
    assert check(answered("Basic MTAwMTpsYWI=")).reason is Reason.NO_CREDENTIALS


def test_a_heap_of_credentials_is_not_read_to_its_end(check: Check) -> None:
    challenge = challenges(check(request()))[0]
    other = credentials(Challenge("other.example", "n", "SHA-256"))
    lines = [f"Authorization: {other}"] * authentication.MAX_CREDENTIALS
    assert check(request(headers=[*lines, f"Authorization: {credentials(challenge)}"])).outcome is Outcome.CHALLENGE


def test_a_verdict_does_not_show_a_secret(check: Check, directory: Directory) -> None:
    challenge = challenges(check(request()))[0]
    device = directory.device(directory.default_account, "1001")
    assert device is not None
    assert device.ha1_sha256 not in repr(check(answered(credentials(challenge))))
