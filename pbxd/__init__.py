"""pbxd, an embedded PBX. The floors, from the ground up:

sip | config, store, metrics, logs | directory | calls | services | flows | api | app | __main__, cli
"""

__version__ = "0.1.0"
