"""The kinds of phones there are, by name; each runs in a process of its own, so no library meets another."""

from dataclasses import replace
from enum import Enum

from tests.clients.line import Line
from tests.clients.phone import Phone


class Make(Enum):
    """A phone's make; the value is the program that runs it."""

    BARESIP_PY = "tests.clients.baresip_py"
    PJSUA2 = "tests.clients.pjsua2_phone"
    PYVOIP = "tests.clients.pyvoip_phone"
    BARESIP_DEBIAN = "tests.clients.baresip_debian"
    LINPHONE = "tests.clients.linphone_phone"


def start(make: Make, line: Line) -> Phone:
    """Start a phone; it is ready when the context manager is entered.

    The library baresip serves addresses of interfaces only: of all of 127.0.0.0/8, 127.0.0.1 (and ::1).
    """
    if make is Make.BARESIP_PY:
        line = replace(line, address="::1" if ":" in line.address else "127.0.0.1")
    return Phone(make.value, line)
