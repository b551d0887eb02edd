"""The default carrier: the house's for all accounts, unless one names its own or none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pbxd.calls.routing import Reject, ToTrunk, route
from pbxd.config import Config, ConfigError
from pbxd.directory.accounts import Directory
from pbxd.store import Store
from tests.directory.conftest import WALL, Configure

TEXT = """
account: {slug: lab, realm: lab.test, domains: [lab.test]}
first_start: {phones: "", admin_key: false}
trunks:
  wholesale: {proxy: "sip:192.0.2.1"}
  local: {proxy: "sip:192.0.2.2"}
  inward: {sources: [192.0.2.3]}
routes:
  - {match: "+49.", trunk: local}
carrier: wholesale
accounts:
  plain: {}
  own:
    trunks: {theirs: {proxy: "sip:192.0.2.9"}}
    carrier: theirs
  none: {carrier: ""}
"""


def leads(directory: Directory, slug: str, called: str = "+14155551234") -> str:
    """The trunk that a number leaves an account by; empty for none."""
    account = directory.account_named(slug)
    assert account is not None
    found = route(directory, account, called, source=None)
    assert isinstance(found, ToTrunk | Reject)
    return found.trunk.name if isinstance(found, ToTrunk) else ""


async def test_each_account_has_its_own_or_the_houses(store: Store, configure: Configure) -> None:
    directory = await Directory.load(store, configure(TEXT), WALL)
    named = {slug: leads(directory, slug) for slug in ("lab", "plain", "own", "none")}
    assert named == {"lab": "wholesale", "plain": "wholesale", "own": "theirs", "none": ""}
    assert (leads(directory, "lab", "+4930123456"), leads(directory, "plain", "+4930123456")) == ("local", "wholesale")
    await directory.reload(configure(TEXT.replace("carrier: wholesale", "carrier: local")), WALL + 1)
    assert (leads(directory, "lab"), leads(directory, "plain"), leads(directory, "own")) == ("local", "local", "theirs")
    await directory.reload(configure(TEXT.replace("carrier: wholesale\n", "")), WALL + 2)
    assert (leads(directory, "lab"), leads(directory, "plain")) == ("", "")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("carrier: wholesale", "carrier: wholesal", "there is no trunk wholesal"),
        ("carrier: wholesale", "carrier: inward", "the trunk inward has no proxy to call"),
        ("carrier: theirs", "carrier: wholesale", "there is no trunk wholesale"),
        ("carrier: theirs", "carrier: 'no name'", "a name is 1 to 63 letters"),
    ],
)
def test_it_is_a_trunk_that_can_be_called(
    configure: Callable[[str], Config], before: str, after: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        configure(TEXT.replace(before, after))
