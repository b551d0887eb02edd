"""The words SIP headers are made of: tokens, quoted strings, lists, parameters, escapes, hosts (RFC 3261 §25.1).

Every function is linear in its input and raises nothing but ParseError. The quantifiers below are possessive, so no
pattern can backtrack.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import quote as _percent_quote
from urllib.parse import unquote_to_bytes

from pbxd.sip.errors import ParseError

MAX_MESSAGE = 65_536  # bytes of one message
MAX_HEADERS = 256  # header lines of one message
MAX_LINE = 8_192  # characters of one header line, unfolded
MAX_VALUES = 256  # values of one header, over all its lines

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]++")
_HOST = re.compile(r"[A-Za-z0-9\-._]++")
_QUOTED = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_LIST_RUN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|<[^>]*+>|[^",<]++', re.DOTALL)
_PARAM_RUN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^";]++', re.DOTALL)
_PLAIN_PARAMS = re.compile(r';[^\s",<>\x00-\x1f\x7f]++')  # no quotes, no white space: nothing to be careful about
_PLAIN_VALUE = re.compile(r'[^\s",;<>\x00-\x1f\x7f]++')
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_NOT_IN_QUOTES = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_USUAL_PARAMS = frozenset({"tag", "branch", "rport", "received", "expires", "q", "reg-id", "lr", "ob", "alias"})
_LINE_BREAKS = re.compile(r"[\r\n\x00]+")


def is_token(text: str) -> bool:
    """Whether `text` is a token: a method, a header name, a parameter name."""
    return _TOKEN.fullmatch(text) is not None


def one_line(text: str) -> str:
    """`text` fit for a header value: runs of CR, LF and NUL become one space, so nothing can start a new line."""
    return text if text.isprintable() else _LINE_BREAKS.sub(" ", text)


def quote(text: str) -> str:
    """`text` as a quoted-string; control characters are dropped."""
    if not text.isprintable():
        text = _NOT_IN_QUOTES.sub("", text)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def has_controls(text: str) -> bool:
    """Whether `text` holds control characters other than tab: what `quote` would drop."""
    return not text.isprintable() and _NOT_IN_QUOTES.search(text) is not None


def unquote(text: str) -> str:
    """The content of the quoted-string `text`; anything else comes back as it is. Raises ParseError when unbalanced."""
    if not text.startswith('"'):
        return text
    if _QUOTED.fullmatch(text) is None:
        raise ParseError("Unbalanced quotes")
    inner = text[1:-1]
    return _QUOTED_PAIR.sub(r"\1", inner) if "\\" in inner else inner


def quoted_end(text: str, start: int = 0) -> int:
    """The index after the quoted-string that begins at `start`. Raises ParseError when it never ends."""
    match = _QUOTED.match(text, start)
    if match is None:
        raise ParseError("Unbalanced quotes")
    return match.end()


def split_list(text: str) -> list[str]:
    """The values of a comma-separated header, without empty ones. Commas in quotes or <> do not separate; after an
    unbalanced quote or bracket all is one value."""
    if "," not in text:
        return [text] if text else []
    if '"' not in text and "<" not in text:
        return [piece for piece in map(str.strip, text.split(",")) if piece]
    return [piece for piece in _split(text, ",", _LIST_RUN) if piece]


def _split(text: str, separator: str, run: re.Pattern[str]) -> list[str]:
    pieces: list[str] = []
    start = position = 0
    while position < len(text):
        if text[position] == separator:
            pieces.append(text[start:position].strip())
            start = position = position + 1
        elif match := run.match(text, position):
            position = match.end()
        else:
            break
    pieces.append(text[start:].strip())
    return pieces


def parse_params(text: str) -> dict[str, str | None]:
    """Header parameters, `;name=value;flag`: names in lower case, quoted values without quotes, first one wins.

    One trailing semicolon is tolerated, an empty parameter between two is not (RFC 4475 §3.1.2.1).
    """
    if _PLAIN_PARAMS.fullmatch(text):
        return _parse_plain_params(text)
    text = text.strip()
    if not text:
        return {}
    if text[0] != ";":
        raise ParseError("Text where parameters should begin")
    text = text[1:-1] if text[-1] == ";" else text[1:]
    if not text:
        return {}
    params: dict[str, str | None] = {}
    for piece in text.split(";") if '"' not in text else _split(text, ";", _PARAM_RUN):
        name, equals, value = piece.partition("=")
        name = name.strip().lower()
        if _TOKEN.fullmatch(name) is None:
            raise ParseError("Bad parameter name")
        if name not in params:
            params[name] = _param_value(value.strip()) if equals else None
    return params


def _parse_plain_params(text: str) -> dict[str, str | None]:
    params: dict[str, str | None] = {}
    for piece in (text[1:-1] if text[-1] == ";" else text[1:]).split(";"):
        name, equals, value = piece.partition("=")
        name = name.lower()
        if name not in _USUAL_PARAMS and _TOKEN.fullmatch(name) is None:
            if text == ";":
                return {}
            raise ParseError("Bad parameter name")
        if name not in params:
            params[name] = value if equals else None
    return params


def _param_value(text: str) -> str:
    if text[:1] == '"':
        return unquote(text)
    if text and _PLAIN_VALUE.fullmatch(text) is None:
        raise ParseError("Bad parameter value")
    return text


def format_params(params: Mapping[str, str | None]) -> str:
    """Header parameters as text; a value that is neither token nor host is quoted."""
    text = ""
    for name, value in params.items():
        if value is None:
            text += ";" + name
        elif _TOKEN.fullmatch(value) or _is_host_value(value):
            text += f";{name}={value}"
        else:
            text += f";{name}={quote(value)}"
    return text


def _is_host_value(text: str) -> bool:
    bare = text.replace(":", "").replace("[", "").replace("]", "")
    return bare == "" if text == "" else _HOST.fullmatch(bare) is not None


def unescape(text: str) -> str:
    """`text` with %HH decoded, once (RFC 3261 §19.1.2). Escapes that are not UTF-8 stay as they are."""
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return text


def escape(text: str, safe: str) -> str:
    """`text` with everything but letters, digits, `_.-~` and `safe` written as %HH of its UTF-8."""
    return text if text.isalnum() and text.isascii() else _percent_quote(text, safe=safe, errors="replace")


@lru_cache(maxsize=1024)
def _check_ipv6(text: str) -> None:
    try:
        IPv6Address(text)
    except ValueError:
        raise ParseError("Bad IPv6 address") from None


def check_host(host: str) -> str:
    """`host` in lower case, an IPv6 address without brackets. Raises ParseError for anything that is no host."""
    if ":" in host:
        if len(host) > 64 or "/" in host:
            raise ParseError("Bad IPv6 address")
        _check_ipv6(host)
    elif _HOST.fullmatch(host) is None:
        raise ParseError("Bad host")
    return host.lower()


def parse_port(text: str) -> int:
    """A port number of 1 to 65535."""
    if not (len(text) <= 5 and text.isascii() and text.isdigit()) or not 0 < (port := int(text)) < 65536:
        raise ParseError("Bad port")
    return port


def parse_host_port(text: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[v6]` or `[v6]:port`, with spaces around tolerated (Via)."""
    if text[:1] == "[":
        inner, bracket, rest = text[1:].partition("]")
        rest = rest.strip()
        if not bracket or ":" not in inner or (rest and rest[0] != ":"):
            raise ParseError("Bad IPv6 reference")
        return check_host(inner), parse_port(rest[1:].strip()) if rest else None
    host, colon, port = text.partition(":")
    return check_host(host.strip()), parse_port(port.strip()) if colon else None


def format_host(host: str) -> str:
    """`host` as it stands in a URI or Via: an IPv6 address gets its brackets."""
    return f"[{host}]" if ":" in host else host
