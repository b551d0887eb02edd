"""Secrets in the store: opened by the house that closed them, as what they are."""

from __future__ import annotations

import pytest

from pbxd.directory.seal import Seal

HOUSE = Seal(b"the secret of the house")


def test_what_is_closed_opens_again_in_the_same_house() -> None:
    closed = HOUSE.close("pässword", "trk_1")
    assert Seal(b"the secret of the house").open(closed, "trk_1") == "pässword"
    assert HOUSE.close("pässword", "trk_1") != closed  # nobody sees that two are the same


@pytest.mark.parametrize(
    "closed",
    ["", "?", "AAAA", HOUSE.close("x", "trk_2"), Seal.fresh().close("x", "trk_1")],
    ids=["nothing", "no base64", "short", "of something else", "of another house"],
)
def test_nothing_else_opens(closed: str) -> None:
    assert HOUSE.open(closed, "trk_1") is None


def test_what_somebody_changed_does_not_open() -> None:
    closed = HOUSE.close("password", "trk_1")
    changed = closed[:-5] + ("A" if closed[-5] != "A" else "B") + closed[-4:]
    assert HOUSE.open(changed, "trk_1") is None
