"""The house's own contract, `/house/v1`.

collaborators  what it works with      views  what it says and takes      operations  what it does
deliveries     what it does with the outbox          recordings  what it does with them
live           what it does to calls that are up        conferences what it does to those
tracing        what it lets see of itself               door        what it does with bans
pictures       a call drawn
voicemail      what it does with messages               sound       their sound
flows          what it does with call flows             fraud  who may not call abroad
queues         what it does with queues and operators  wallboard  what happens there, as it happens
tenancy        whose things an operation is about       accounts   tenants: made, changed, written out, read in
directory      what an account has, by kind
"""

from pbxd.api.house import accounts, conferences, directory, fraud, pictures, queues, tracing, voicemail
from pbxd.api.house.collaborators import (
    Door,
    House,
    LiveCalls,
    Phones,
    RegisteredContact,
    Registrations,
    Tracing,
    TrunkRow,
)
from pbxd.api.house.flows import HOUSE
from pbxd.api.house.sound import sound_routes
from pbxd.api.house.wallboard import wallboard_routes

__all__ = [
    "HOUSE",
    "Door",
    "House",
    "LiveCalls",
    "Phones",
    "RegisteredContact",
    "Registrations",
    "Tracing",
    "TrunkRow",
    "accounts",
    "conferences",
    "directory",
    "fraud",
    "pictures",
    "queues",
    "sound_routes",
    "tracing",
    "voicemail",
    "wallboard_routes",
]
