"""The edge contract: `/auth /route /flow /presence /cac /calls/{id}/trace /debug /security /media /admin/tts`.

contract        what all operations share, and which paths are its own
collaborators   what it works with        access   who may ask        tenancy   for which account
wishes          what it is told           stubs    what is not served yet
authentication  is a phone who it says it is?         stepping  call flows, command by command
routing         where does this call go?              dialled   who calls and is called, as nodes write it
presence        what became of phones and calls       tracing   how one call went
admission       how many calls there are              security  bans, and who is never banned
agents          operators of queues, and who is where
media           what is played, and voicemails        speech    the system prompts said
debug           the live monitor
"""

from pbxd.api.edge import (
    admission,
    agents,
    authentication,
    debug,
    media,
    presence,
    routing,
    security,
    speech,
    stepping,
    stubs,
    tracing,
)
from pbxd.api.edge.access import EdgeAccess
from pbxd.api.edge.collaborators import Edge, MediaDesk
from pbxd.api.edge.contract import EDGE

__all__ = [
    "EDGE",
    "Edge",
    "EdgeAccess",
    "MediaDesk",
    "admission",
    "agents",
    "authentication",
    "debug",
    "media",
    "presence",
    "routing",
    "security",
    "speech",
    "stepping",
    "stubs",
    "tracing",
]
