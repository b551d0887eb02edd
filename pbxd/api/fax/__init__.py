"""The fax contract: documents in, pages out, faxes that came in, and their administration.

door      the contract and its shape        access    who asks, and how often
outbound  inbound                           what everybody comes for
providers  posted                           what providers tell, and how they sign it
keys  settings  admin  plugins              what admins come for
console  manifests                          and what their console asks for besides
"""

from pbxd.api.fax import admin, console, inbound, keys, manifests, outbound, plugins, providers, settings
from pbxd.api.fax.access import FaxAccess
from pbxd.api.fax.admin import readiness
from pbxd.api.fax.door import FAX, FaxHouse

__all__ = [
    "FAX",
    "FaxAccess",
    "FaxHouse",
    "admin",
    "console",
    "inbound",
    "keys",
    "manifests",
    "outbound",
    "plugins",
    "providers",
    "readiness",
    "settings",
]
