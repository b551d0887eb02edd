"""The control plane of the edge put together: what its operations work with, as `edge` says."""

from __future__ import annotations

from pbxd.api.edge import Edge
from pbxd.config.schema import Config
from pbxd.directory.accounts import Directory
from pbxd.directory.remote import RemoteDigests
from pbxd.telephony import Telephony


def edge_of(config: Config, secret: bytes, directory: Directory, telephony: Telephony) -> Edge:
    """The collaborators of the edge contract. `secret` is the house's own."""
    edge = Edge(
        directory=directory,
        digests=RemoteDigests(directory, secret, telephony.authenticator.algorithms, config.edge.nonce_s),
        wall=lambda: telephony.wall(telephony.now()),
        now=telephony.now,
    )
    reload(edge, config)
    return edge


def reload(edge: Edge, config: Config) -> None:
    """What the configuration says from now on."""
    edge.digests.foreign = config.edge.foreign_nonces
    edge.digests.lifetime_s = config.edge.nonce_s
