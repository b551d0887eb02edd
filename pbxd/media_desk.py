"""The media of the edge put together: objects in the data directory, the prompts, and the messages of mailboxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pbxd.api.edge import MediaDesk
from pbxd.config.schema import Config
from pbxd.objects import Folder
from pbxd.services.prompts import SystemPrompts
from pbxd.services.voicemail import Voicemail
from pbxd.store import DataDirectory

FOLDER = "media"


def media_desk(config: Config, data: DataDirectory) -> MediaDesk:
    """What `/media` and `/admin/tts` work with, once it is open."""
    objects = Folder(data.path / FOLDER)
    return MediaDesk(objects, SystemPrompts(objects), lambda _account, _call: None, config.edge.media_max_mb << 20)


async def open_media(desk: MediaDesk, voicemail: Voicemail) -> None:
    """Make it ready, with the messages of these mailboxes. Raises OSError."""
    await desk.objects.open()
    desk.message = messages_of(voicemail)


def messages_of(voicemail: Voicemail) -> Callable[[str, str], Path | None]:
    """Finds the sound of the message that a call has left."""

    def message(account_id: str, call_id: str) -> Path | None:
        archive = voicemail.archive
        for box in archive:
            for one in box.messages.values():
                if box.account_id == account_id and one.call_id == call_id and one.seconds is not None:
                    return archive.path(one)
        return None

    return message
