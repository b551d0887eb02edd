"""The house's own contract, `/house/v1`.

collaborators  what it works with      views  what it says and takes      operations  what it does
deliveries     what it does with the outbox          recordings  what it does with them
live           what it does to calls that are up        conferences what it does to those
"""

from pbxd.api.house.collaborators import House, LiveCalls, Phones, RegisteredContact, Registrations, TrunkRow
from pbxd.api.house.conferences import HOUSE

__all__ = ["HOUSE", "House", "LiveCalls", "Phones", "RegisteredContact", "Registrations", "TrunkRow"]
