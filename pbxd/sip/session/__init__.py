"""One INVITE usage (RFC 5057) from the first INVITE to the last 200, both roles, as a machine without I/O.

session     Session: what the user calls
inbound     what the peer sends, and to which part it goes
table       SessionTable: messages to sessions
usage       what all parts of a session share: dialog, state, the one end
state       the state table             ending      how it ended
settings    what a session may do       user        what it reports, and to whom
client      our requests and their final responses                   login     the challenges they meet
invite      our INVITE: forks, 18x, 2xx, CANCEL
accept      their INVITE: 18x, 2xx, CANCEL                           reliable  100rel and PRACK
modify      our re-INVITE and UPDATE, glare, refreshes
consent     their re-INVITE and UPDATE                               screen    what the rules refuse
"""

from pbxd.sip.session.ending import EndCause, Ending
from pbxd.sip.session.session import Session
from pbxd.sip.session.settings import Reliability, SessionSettings
from pbxd.sip.session.state import SessionState
from pbxd.sip.session.table import SessionTable
from pbxd.sip.session.user import SessionUser

__all__ = [
    "EndCause",
    "Ending",
    "Reliability",
    "Session",
    "SessionSettings",
    "SessionState",
    "SessionTable",
    "SessionUser",
]
