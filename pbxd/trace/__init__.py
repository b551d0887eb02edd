"""What happened to a call, kept while it lives and a while longer: every message, state, decision and media event.

entries    what is written down             recorder   the rings of all calls, filled on the call path
masking    passwords and keys made blind    debug      what is watched closely by wish: a call, a phone, an address
recording  one call as plain data           ladder     a recording as text
                                            capture    a recording as a pcap file
"""

from pbxd.trace.debug import Switch, Target, read_target
from pbxd.trace.entries import Address, Entry, Note, SipMessage, Sound, Topic
from pbxd.trace.recorder import Recorder, TraceLimits
from pbxd.trace.recording import Recording

__all__ = [
    "Address",
    "Entry",
    "Note",
    "Recorder",
    "Recording",
    "SipMessage",
    "Sound",
    "Switch",
    "Target",
    "Topic",
    "TraceLimits",
    "read_target",
]
