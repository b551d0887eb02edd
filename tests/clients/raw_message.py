"""SIP messages as text: split, written and signed in plain Python, with nothing of the house's own parser."""

import hashlib
import re
import secrets
from dataclasses import dataclass

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A SIP message as it came, split but not interpreted."""

    start: str
    headers: tuple[tuple[str, str], ...]
    body: str

    @classmethod
    def parse(cls, data: bytes) -> "RawMessage":
        head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        start, *lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return cls(start, tuple((name.strip(), value.strip()) for name, _, value in pairs), body)

    @property
    def status(self) -> int | None:
        """The status of a response, None for a request."""
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/2.0 ") else None

    @property
    def method(self) -> str:
        """Of a request, or of the request that a response answers."""
        return " ".join(self.all("CSeq")).split(" ")[-1] if self.status else self.start.split(" ")[0]

    @property
    def target(self) -> str:
        """The Request-URI."""
        return self.start.split(" ")[1]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str:
        values = self.all(name)
        assert values, f"no {name} in {self.start}"
        return values[0]

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def contact(self) -> str:
        """The URI of the Contact."""
        match = re.search(r"<([^>]*)>", self["Contact"])
        return match[1] if match else self["Contact"].partition(";")[0]

    def media(self) -> tuple[str, int]:
        """Address and port of the first media line of the SDP body."""
        address = re.search(r"^c=IN IP[46] (\S+)", self.body, re.MULTILINE)
        port = re.search(r"^m=audio (\d+)", self.body, re.MULTILINE)
        assert address, f"no address in the SDP of {self.start}"
        assert port, f"no audio in the SDP of {self.start}"
        return address[1], int(port[1])


def tag_of(value: str) -> str | None:
    """The tag of a From or To value."""
    match = re.search(r";\s*tag=([^;\s]+)", value)
    return match[1] if match else None


def sdp(address: str, port: int, *, formats: str = "0 8 101", direction: str = "sendrecv", version: int = 1) -> str:
    """A plain audio description."""
    family = 6 if ":" in address else 4
    names = {"0": "PCMU/8000", "8": "PCMA/8000", "101": "telephone-event/8000", "13": "CN/8000", "18": "G729/8000"}
    lines = ["v=0", f"o=- 20518 {version} IN IP{family} {address}", "s=-", f"c=IN IP{family} {address}", "t=0 0"]
    lines += [f"m=audio {port} RTP/AVP {formats}"]
    lines += [f"a=rtpmap:{number} {names[number]}" for number in formats.split() if number in names]
    lines += [f"a={direction}"]
    return "\r\n".join(lines) + "\r\n"


def credentials(challenge: str, *, user: str, password: str, method: str, uri: str) -> str:
    """The answer to a digest challenge (RFC 7616 §3.4, RFC 8760)."""
    fields = {
        name.lower(): quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', challenge)
    }
    algorithm = fields.get("algorithm", "MD5")
    digest = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm]

    def hashed(text: str) -> str:
        return digest(text.encode()).hexdigest()

    secret, question = hashed(f"{user}:{fields['realm']}:{password}"), hashed(f"{method}:{uri}")
    answer = f'Digest username="{user}", realm="{fields["realm"]}", nonce="{fields["nonce"]}", uri="{uri}"'
    if "qop" in fields:
        cnonce = secrets.token_hex(8)
        response = hashed(f"{secret}:{fields['nonce']}:00000001:{cnonce}:auth:{question}")
        answer += f', qop=auth, nc=00000001, cnonce="{cnonce}"'
    else:
        response = hashed(f"{secret}:{fields['nonce']}:{question}")
    answer += f', response="{response}", algorithm={algorithm}'
    return answer + (f', opaque="{fields["opaque"]}"' if "opaque" in fields else "")
