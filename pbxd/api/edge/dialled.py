"""Who calls or is called, as a node writes it: a number, a user, an AOR or a whole SIP URI."""

from __future__ import annotations

import re

_E164 = re.compile(r"[1-9][0-9]{6,14}")


def split_aor(text: str) -> tuple[str, str]:
    """User and host of `1001`, `1001@example.com`, `sip:1001@example.com:5060;transport=tcp` or `tel:+12025550123`."""
    bare = text.strip().removeprefix("sips:").removeprefix("sip:").removeprefix("tel:")
    user, _, rest = bare.partition("@")
    place = rest.partition(";")[0].partition("?")[0]
    host = place.partition("]")[0].removeprefix("[") if place.startswith("[") else place.partition(":")[0]
    return user.partition(";")[0], host


def in_the_world(number: str) -> str:
    """A number of somebody outside as the house writes it: with its plus, which nodes leave out."""
    return "+" + number if _E164.fullmatch(number) else number


def at_the_edge(number: str) -> str:
    """A number as the edge writes it: without its plus."""
    return number.removeprefix("+")
