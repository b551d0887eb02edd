"""What those hear who wait or are held: the files of a folder in a new order each time; the house's own piece where
there are none.

A queue, a conference and an account may have a folder of their own; where it holds nothing to play, that of the next
larger is taken.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from media.library import SUFFIXES
from media.script import HouseMusic, Line, Tune
from pbxd.config.schema import Config
from pbxd.directory.accounts import Directory

MOST = 50  # of one folder at a time: all of them are kept at hand while they play


class Music:
    """`config` is the one in force; music that no setting places is under `data`. `shuffle` puts a list in another
    order."""

    def __init__(
        self,
        config: Callable[[], Config],
        directory: Directory,
        data: Path,
        shuffle: Callable[[list[Path]], None] = random.shuffle,
    ) -> None:
        self._config = config
        self._directory = directory
        self._data = data
        self._shuffle = shuffle

    def tunes(self, account_id: str = "", own: str | None = None, *, fixed: bool = False) -> list[Line]:
        """For somebody of that account. `own` is a folder that a queue or a conference has: a path, or the name of one
        in the music of its account. `fixed`: in the order of names, for those who hear the same at a time."""
        for folder in self._folders(account_id, own):
            files = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
            if files:
                if not fixed:
                    self._shuffle(files)
                return [Tune(path) for path in files[:MOST]]
        return [HouseMusic()]

    def _folders(self, account_id: str, own: str | None) -> Iterator[Path]:
        house, account = self._config().sound.music or self._data / "music", self._of_account(account_id)
        if own is not None and "/" in own:
            yield Path(own)
        elif own is not None:
            yield (account or house) / own
        if account is not None:
            yield account
        yield house

    def _of_account(self, account_id: str) -> Path | None:
        """The default account's is the house's."""
        account = self._directory.account(account_id)
        if account is None or account.id == self._directory.default_account.id:
            return None
        declared = self._config().accounts.get(account.slug)
        own = declared.music if declared is not None else None
        return own or self._data / "accounts" / account.slug / "music"
