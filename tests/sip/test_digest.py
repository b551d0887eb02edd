"""Digest: the examples of the RFCs, both sides against each other, and nonces in virtual time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pbxd.sip.digest import (
    ALGORITHMS,
    Challenge,
    Credentials,
    NonceBook,
    NonceCheck,
    answer,
    expected_response,
    ha1,
    read_challenges,
    read_credentials,
    verify,
)
from pbxd.sip.errors import ParseError
from pbxd.sip.uri import Uri

VECTORS: dict[str, list[Any]] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "sip" / "digest.json").read_text()
)


@pytest.mark.parametrize("vector", VECTORS["responses"], ids=lambda vector: vector["from"])
def test_examples(vector: dict[str, str]) -> None:
    secret = ha1(vector["username"], vector["realm"], vector["password"], vector["algorithm"])
    credentials = Credentials(
        **{name: vector[name] for name in ("username", "realm", "nonce", "uri", "response", "algorithm", "qop", "nc")},
        cnonce=vector["cnonce"],
    )
    assert expected_response(secret, vector["method"], credentials) == vector["response"]
    assert verify(secret, vector["method"], credentials)
    assert not verify(secret, "POST", credentials)
    assert Credentials.parse(str(credentials)) == credentials


@pytest.mark.parametrize("vector", VECTORS["challenges"], ids=lambda vector: vector["text"])
def test_challenges(vector: dict[str, Any]) -> None:
    challenge = Challenge.parse(vector["text"])
    for name in ("realm", "nonce", "algorithm", "opaque", "stale"):
        assert getattr(challenge, name) == vector[name]
    assert list(challenge.qop) == vector["qop"]
    assert Challenge.parse(str(challenge)) == challenge


@pytest.mark.parametrize("text", VECTORS["bad"])
def test_bad_challenges(text: str) -> None:
    with pytest.raises(ParseError):
        Challenge.parse(text)
    assert read_challenges([text]) == []


@pytest.mark.parametrize("text", VECTORS["bad"] + VECTORS["bad credentials"])
def test_bad_credentials(text: str) -> None:
    with pytest.raises(ParseError):
        Credentials.parse(text)
    assert read_credentials([text]) == []


class TestReading:
    def test_several_challenges_in_one_and_several_lines(self) -> None:
        lines = [
            'Digest realm="a", nonce="1", qop="auth,auth-int", Basic realm="no", Digest realm="b, Digest c=x",nonce=2',
            "NTLM",
            'Digest nonce="3", realm="c", broken',
            'Digest nonce="4", realm="d"',
        ]
        assert [(found.realm, found.nonce) for found in read_challenges(lines)] == [
            ("a", "1"),
            ("b, Digest c=x", "2"),
            ("d", "4"),
        ]

    def test_credentials_of_several_realms(self) -> None:
        good = Credentials("u", "r1", "n", "sip:h", "0" * 32)
        lines = ["Bearer x", str(good), str(replace(good, realm="r2")), "Digest username=x"]
        assert [found.realm for found in read_credentials(lines)] == ["r1", "r2"]

    def test_extended_username(self) -> None:
        text = 'Digest username*=UTF-8\'\'J%C3%A4s%C3%B8n, realm="r", nonce="n", uri="u", response="ABC"'
        credentials = Credentials.parse(text)
        assert (credentials.username, credentials.response) == ("Jäsøn", "abc")

    def test_names_with_quotes_and_backslashes(self) -> None:
        credentials = Credentials('a"\\b', 'r"', "n", 'u"', "0" * 32, opaque="\\")
        assert Credentials.parse(str(credentials)) == credentials

    def test_nothing_starts_a_line(self) -> None:
        assert "\n" not in str(Challenge("r\r\nX: 1", "n\n"))
        assert "\n" not in str(Credentials("a\n", "r\n", "n\n", "u\n", "0\n"))

    def test_count_as_it_came_goes_into_the_hash(self) -> None:
        text = 'Digest username="a", realm="r", nonce="n", uri="u", response="0", qop=AUTH, cnonce="c", nc=0000000A'
        credentials = Credentials.parse(text)
        assert (credentials.nc, credentials.nonce_count, credentials.qop) == ("0000000A", 10, "auth")


class TestAnswering:
    @pytest.mark.parametrize("algorithm", [*ALGORITHMS, "MD5-sess", "SHA-256-sess", "md5", "sha-256"])
    @pytest.mark.parametrize("qop", [(), ("auth",), ("auth-int",), ("auth-int", "auth")])
    def test_what_one_side_answers_the_other_accepts(self, algorithm: str, qop: tuple[str, ...]) -> None:
        challenge = Challenge("r", "n", algorithm, qop, opaque="o")
        uri = Uri.parse("sip:600@h;x=y")
        credentials = answer(
            challenge, method="INVITE", uri=uri, username="1001", password="p", cnonce="c", nc=17, body=b"v=0"
        )
        assert (credentials.uri, credentials.opaque) == ("sip:600@h;x=y", "o")
        assert credentials.nc == ("00000011" if qop else None)
        base = algorithm.upper().removesuffix("-SESS")
        parsed = Credentials.parse(str(credentials))
        assert parsed == credentials
        assert verify(ha1("1001", "r", "p", base), "INVITE", parsed, b"v=0")
        assert not verify(ha1("1001", "r", "wrong", base), "INVITE", parsed, b"v=0")
        assert verify(ha1("1001", "r", "p", base), "INVITE", parsed, b"v=1") == (qop != ("auth-int",))

    def test_strongest_that_can_be_met(self) -> None:
        md5, sha, new = (Challenge("r", name, name) for name in ("MD5", "SHA-256", "SHA-3"))

        def answered(**secrets: Any) -> str:
            return answer([new, md5, sha], method="INVITE", uri="sip:h", username="u", cnonce="c", **secrets).algorithm

        assert answered(password="p") == "SHA-256"
        assert answered(ha1s={"MD5": "0" * 32}) == "MD5"
        assert answered(ha1s={"MD5": "0" * 32, "sha-256": "0" * 64}) == "SHA-256"

    @pytest.mark.parametrize(
        "challenges",
        [[], [Challenge("r", "n", "SHA-3")], [Challenge("r", "n", qop=("auth-conf",))]],
        ids=["none", "unknown algorithm", "unknown qop"],
    )
    def test_none_that_can_be_met(self, challenges: list[Challenge]) -> None:
        with pytest.raises(ParseError, match="No challenge that can be answered"):
            answer(challenges, method="INVITE", uri="sip:h", username="u", password="p", cnonce="c")

    def test_no_secret_for_the_algorithm(self) -> None:
        with pytest.raises(ParseError, match="No challenge that can be answered"):
            answer(Challenge("r", "n"), method="BYE", uri="sip:h", username="u", ha1s={"SHA-256": "0"}, cnonce="c")

    def test_unknown_algorithm_of_a_client(self) -> None:
        with pytest.raises(ParseError, match="Unknown digest algorithm"):
            verify("0" * 32, "INVITE", Credentials("u", "r", "n", "sip:h", "0", "SHA-3"))

    def test_response_that_is_not_even_text(self) -> None:
        assert not verify("0" * 32, "INVITE", Credentials("u", "r", "n", "sip:h", "é\ud800"))


def use(nonce: str, number: int | None = 1) -> Credentials:
    if number is None:
        return Credentials("u", "r", nonce, "sip:h", "0")
    return Credentials("u", "r", nonce, "sip:h", "0", "MD5", "auth", f"{number:08x}", "c")


class TestNonces:
    def book(self, **settings: Any) -> NonceBook:
        return NonceBook(b"secret", lifetime_s=300, **settings)

    def test_lives_its_lifetime(self) -> None:
        book = self.book()
        nonce = book.new(1000.0)
        assert book.check(use(nonce, 1), 1000.0) is NonceCheck.FRESH
        assert book.check(use(nonce, 2), 1300.0) is NonceCheck.FRESH
        assert book.check(use(nonce, 3), 1300.1) is NonceCheck.STALE

    def test_from_the_future(self) -> None:
        book = self.book()
        assert book.check(use(book.new(1000.0)), 999.0) is NonceCheck.STALE

    def test_no_two_are_equal(self) -> None:
        book = self.book()
        assert len({book.new(1.0) for _ in range(1000)}) == 1000

    def test_another_instance_with_the_secret_knows_it(self) -> None:
        nonce = self.book().new(5.0)
        assert self.book().check(use(nonce), 6.0) is NonceCheck.FRESH
        assert NonceBook(b"other").check(use(nonce), 6.0) is NonceCheck.FORGED

    @pytest.mark.parametrize("text", ["", "x", "é", "=" * 36, "A" * 36, "A" * 5000, "\ud800"])
    def test_not_ours(self, text: str) -> None:
        assert self.book().check(use(text), 1.0) is NonceCheck.FORGED

    def test_every_changed_character_shows(self) -> None:
        book = self.book()
        nonce = book.new(1000.0)
        for index, letter in enumerate(nonce):
            changed = nonce[:index] + ("A" if letter != "A" else "B") + nonce[index + 1 :]
            assert book.check(use(changed), 1000.0) is NonceCheck.FORGED

    def test_counts(self) -> None:
        book = self.book()
        nonce = book.new(0.0)
        seen = [book.check(use(nonce, number), 1.0) for number in (1, 1, 3, 2, 2, 3, 80, 16, 17, 17, 1000, 80)]
        fresh, replayed = NonceCheck.FRESH, NonceCheck.REPLAYED
        assert seen == [
            fresh,
            replayed,
            fresh,
            fresh,
            replayed,
            replayed,
            fresh,
            replayed,
            fresh,
            replayed,
            fresh,
            replayed,
        ]

    def test_without_count_once_while_it_lives(self) -> None:
        book = self.book()
        nonce, other = book.new(0.0), book.new(0.0)
        assert [book.check(use(nonce, None), now) for now in (0.0, 1.0, 301.0)] == [
            NonceCheck.FRESH,
            NonceCheck.REPLAYED,
            NonceCheck.STALE,
        ]
        assert book.check(use(other, None), 301.0) is NonceCheck.STALE

    def test_memory_is_bounded_and_forgetting_is_safe(self) -> None:
        book = self.book(capacity=10)
        nonces = [book.new(float(second)) for second in range(30)]
        assert {book.check(use(nonce), 30.0) for nonce in nonces} == {NonceCheck.FRESH}
        assert len(book) == 10
        assert book.check(use(nonces[0]), 30.0) is NonceCheck.STALE  # forgotten: never fresh again
        assert book.check(use(nonces[29]), 30.0) is NonceCheck.REPLAYED
        assert book.check(use(book.new(30.0)), 30.0) is NonceCheck.FRESH

    def test_old_ones_leave_by_themselves(self) -> None:
        book = self.book()
        for second in range(0, 3000, 10):
            assert book.check(use(book.new(float(second))), float(second)) is NonceCheck.FRESH
        assert len(book) <= 32
