"""Signatures of S3: the published examples, and what an address may look like."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from yarl import URL

from pbxd.s3 import EMPTY_SHA256, Credentials, Place, signed

# "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)", its examples.
PUBLISHED = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
WALL = datetime(2013, 5, 24, tzinfo=UTC).timestamp()
HOST = "https://examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "names", "signature"),
    [
        (
            "GET",
            "/test.txt",
            {"Range": "bytes=0-9"},
            b"",
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test%24file.text",
            {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.",
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/?lifecycle",
            {},
            b"",
            "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/?max-keys=2&prefix=J",
            {},
            b"",
            "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["get an object", "put an object", "get a lifecycle", "list objects"],
)
def test_the_published_examples(
    method: str, path: str, headers: dict[str, str], body: bytes, names: str, signature: str
) -> None:
    said = signed(method, URL(HOST + path, encoded=True), PUBLISHED, WALL, hashlib.sha256(body).hexdigest(), headers)[
        "Authorization"
    ]
    assert said == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


def test_everything_that_counts_is_signed() -> None:
    def signature(method: str = "GET", url: str = HOST + "/a", wall: float = WALL, digest: str = EMPTY_SHA256) -> str:
        said = signed(method, URL(url, encoded=True), PUBLISHED, wall, digest)["Authorization"]
        return said.rpartition("=")[2]

    changed = [
        signature(method="PUT"),
        signature(url=HOST + "/b"),
        signature(url=HOST + "/a?x=1"),
        signature(url="https://other.example/a"),
        signature(wall=WALL + 1),
        signature(digest="0" * 64),
    ]
    assert len({signature(), *changed}) == 7
    assert all(re.fullmatch(r"[0-9a-f]{64}", one) for one in changed)


@pytest.mark.parametrize(
    ("endpoint", "path_style", "bucket", "document"),
    [
        ("https://s3.example", True, "https://s3.example/faxes", "https://s3.example/faxes/of/in/a/fax.pdf"),
        ("https://s3.example", False, "https://faxes.s3.example/", "https://faxes.s3.example/of/in/a/fax.pdf"),
        ("http://127.0.0.1:9000", True, "http://127.0.0.1:9000/faxes", "http://127.0.0.1:9000/faxes/of/in/a/fax.pdf"),
        ("https://x.example/s3", True, "https://x.example/s3/faxes", "https://x.example/s3/faxes/of/in/a/fax.pdf"),
    ],
)
def test_a_bucket_is_in_the_path_or_in_the_host(endpoint: str, path_style: bool, bucket: str, document: str) -> None:
    place = Place(URL(endpoint), "faxes", PUBLISHED, "of/", path_style)
    assert (str(place.url()), str(place.url("in/a/fax.pdf"))) == (bucket, document)
    host = signed("GET", place.url("x"), PUBLISHED, WALL)["Host"]
    assert host == urlsplit(document).netloc


def test_a_secret_is_not_shown() -> None:
    assert PUBLISHED.secret not in repr(Place(URL(HOST), "b", PUBLISHED))
