"""SignalWire tells how a fax ended, once and signed: by its own published examples, and as the contract has it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest

from pbxd.api.fax.posted import Posted, body_signature, signalwire_sha256, signalwire_signatures
from tests.api.client import Answer
from tests.api.fax.cloud import PUBLIC, clouded
from tests.api.fax.house import KEY, FaxLab
from tests.api.fax.test_providers import FORM, handed

SIGNING = "the-signing-key"
# The vectors of SignalWire's own SDKs (their webhooks.md): JSON of its calls, and the form of its Compatibility API,
# which is the example of Twilio's documentation.
JSON_BODY = b'{"event":"call.state","params":{"call_id":"abc-123","state":"answered"}}'
FIELDS = (
    ("Digits", "1234"),
    ("CallSid", "CA1234567890ABCDE"),
    ("To", "+18005551212"),
    ("Caller", "+14158675309"),
    ("From", "+14158675309"),
)


@pytest.mark.parametrize(
    ("key", "url", "posted", "signature"),
    [
        (
            "PSKtest1234567890abcdef",
            "https://example.ngrok.io/webhook",
            Posted(JSON_BODY),
            "c3c08c1fefaf9ee198a100d5906765a6f394bf0f",
        ),
        ("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", Posted(b"", FIELDS), "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (
            "12345",
            "https://mycompany.com:443/myapp.php?foo=1&bar=2",
            Posted(b"", FIELDS),
            "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        ),
    ],
)
def test_the_published_examples_are_signed_as_it_signs(key: str, url: str, posted: Posted, signature: str) -> None:
    assert signature in signalwire_signatures(key, url, posted)
    assert signature not in signalwire_signatures(key + "x", url, posted)


def test_the_stronger_signature_is_that_of_its_sdks() -> None:
    said = signalwire_sha256("PSKtest1234567890abcdef", "https://example.ngrok.io/webhook", Posted(JSON_BODY))
    assert said == "2a29f8a92b11df39da80c3b185fd62173d49c294184da585ff951eae4433571c"


def compatible(url: str, fields: dict[str, str]) -> str:
    """As the Compatibility API signs."""
    text = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.new(SIGNING.encode(), text.encode(), hashlib.sha1).digest()).decode()


async def posts(lab: FaxLab, path: str, fields: dict[str, str], **headers: str) -> Answer:
    sent = headers or {"X-SignalWire-Signature": compatible(PUBLIC + path, fields)}
    body = urlencode(fields).encode()
    return await lab.client.ask("POST", path, data=body, headers={**sent, "Content-Type": FORM})


ENDS = {"delivered": ("SUCCESS", None), "busy": ("FAILED", "busy"), "no-answer": ("FAILED", "no-answer")}


async def test_it_is_told_where_to_and_tells_how_it_ended_once(tmp_path: Path) -> None:
    async with clouded(tmp_path, "signalwire") as (lab, cloud):
        for word, (status, error) in ENDS.items():
            job = await handed(lab)
            place = f"/signalwire-callback?job_id={job['id']}"
            assert cloud.forms[-1]["StatusCallback"] == PUBLIC + place
            said = {"FaxSid": "b3877c40-fx", "FaxStatus": "sending", "NumPages": "1"}
            assert (await posts(lab, place, said)).json == {"ok": True}
            assert (await lab.client.get(f"/fax/{job['id']}", key=KEY)).json["status"] == "in_progress"
            for _ in range(2):
                assert (await posts(lab, place, said | {"FaxStatus": word})).json == {"ok": True}
            late = "failed" if status == "SUCCESS" else "delivered"
            assert (await posts(lab, place, said | {"FaxStatus": late})).json == {"ok": True}  # too late
            done = (await lab.settled(job["id"])).json
            assert (done["status"], done["error"], done["pages"]) == (status, error, 1)
            notes = lab.app.faxroom.audit.recent(job["id"], None, None, 99)
            assert len([entry for entry in notes if entry.get("status") == status]) == 1


async def test_every_way_to_sign_is_known_and_no_other(tmp_path: Path) -> None:
    async with clouded(tmp_path, "signalwire") as (lab, _cloud):
        job = await handed(lab)
        place = "/signalwire-callback"  # by the provider's id alone
        said = {"FaxSid": "b3877c40-fx", "FaxStatus": "processing"}
        body, url = urlencode(said).encode(), (PUBLIC + place).encode()
        sha1 = hmac.new(SIGNING.encode(), url + body, hashlib.sha1).hexdigest()
        sha256 = hmac.new(SIGNING.encode(), url + body, hashlib.sha256).hexdigest()
        for good in (
            {"X-SignalWire-Signature": sha1},
            {"X-SignalWire-Signature": body_signature(SIGNING, body)},
            {"X-SignalWire-SHA256-Signature": sha256},
        ):
            assert (await posts(lab, place, said, **good)).json == {"ok": True}
        for wrong in (
            {"X-SignalWire-Signature": "0" * 40},
            {"X-SignalWire-Signature": "é"},
            {"X-SignalWire-Signature": sha256},
            {"X-SignalWire-Signature": compatible(f"{PUBLIC}/phaxio-callback", said)},
            {"X-SignalWire-SHA256-Signature": sha1},
            {"X-SignalWire-Signature": sha1, "X-SignalWire-SHA256-Signature": "0" * 64},
            {"X-Other": "x"},
        ):
            refused = await posts(lab, place, said, **wrong)
            assert (refused.status, refused.json) == (401, {"detail": "Invalid signature"})
        text = json.dumps({"sid": "b3877c40-fx", "status": "delivered"}).encode()
        headers = {"X-SignalWire-Signature": body_signature(SIGNING, text), "Content-Type": "application/json"}
        assert (await lab.client.ask("POST", place, data=text, headers=headers)).json == {"ok": True}
        assert (await lab.settled(job["id"])).json["status"] == "SUCCESS"
        unknown = await posts(lab, place, {"FaxSid": "other", "FaxStatus": "failed"})
        assert (unknown.status, unknown.json) == (404, {"detail": "Job not found"})
        crossed = await posts(lab, f"{place}?job_id={job['id']}", {"FaxSid": "other", "FaxStatus": "failed"})
        assert crossed.status == 404


async def test_without_a_key_nobody_is_believed_unless_the_settings_say_so(tmp_path: Path) -> None:
    without = "faxes.providers.signalwire.creds={key: the-key, secret: the-secret}"
    async with clouded(tmp_path, "signalwire", without) as (lab, _cloud):
        refused = await posts(lab, "/signalwire-callback", {"FaxSid": "x"}, **{"X-SignalWire-Signature": "0" * 40})
        assert (refused.status, refused.json) == (401, {"detail": "SignalWire signing key not configured"})
    trusting = "faxes.providers.signalwire.verify=false"
    async with clouded(tmp_path, "signalwire", without, trusting) as (lab, _cloud):
        job = await handed(lab)
        said = {"FaxSid": "b3877c40-fx", "FaxStatus": "delivered"}
        assert (await posts(lab, "/signalwire-callback", said, **{"X-Other": "x"})).json == {"ok": True}
        assert (await lab.settled(job["id"])).json["status"] == "SUCCESS"
