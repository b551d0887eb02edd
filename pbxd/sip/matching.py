"""Which transaction a message belongs to (RFC 3261 §17.1.3, §17.2.3)."""

from __future__ import annotations

from pbxd.sip.exchange import Exchange
from pbxd.sip.flow import Destination, Flow, Outgoing, Transport
from pbxd.sip.message import Request, Response
from pbxd.sip.transaction import ClientTransaction, ServerTransaction
from pbxd.sip.via import COOKIE

ServerKey = tuple[object, ...]


def server_key(request: Request, method: str | None = None) -> ServerKey:
    """What is equal for a request, its retransmissions and the ACK to its failure (RFC 3261 §17.2.3). `method` asks
    for the key of another request with the same Via: an INVITE's, by its CANCEL."""
    via = request.via
    branch = via.branch
    method = method or request.method
    if method == "ACK":
        method = "INVITE"
    if branch is not None and len(branch) > len(COOKIE) and branch.startswith(COOKIE):
        # Not what RFC 3261 §17.2.3 says: the CSeq counts too. pyVoIP asks again with credentials under the old branch.
        return (branch, via.host, via.port, request.cseq.number, method)
    # RFC 2543. Not what RFC 3261 §17.2.3 says: To tags are not compared. The ACK's differs from its INVITE's anyway,
    # and a UAS gives one only.
    return (str(via), str(request.uri), request.from_.tag, request.call_id, request.cseq.number, method)


def merge_key(request: Request) -> ServerKey | None:
    """What is equal for one request that came over two paths (RFC 3261 §8.2.2.2). None inside a dialog."""
    if request.to.tag is not None:
        return None
    cseq = request.cseq
    return (request.from_.tag, request.call_id, cseq.number, cseq.method)


class TransactionTable:
    """The live transactions of a stack, each found by what its messages carry, and by the stream it is on."""

    __slots__ = ("_merged", "_streams", "clients", "servers")

    def __init__(self) -> None:
        self.clients: dict[tuple[str, str], ClientTransaction] = {}
        self.servers: dict[ServerKey, ServerTransaction] = {}
        self._merged: dict[ServerKey, ServerTransaction] = {}
        # by the far end of a stream; the inner dict is a set that keeps its order
        self._streams: dict[tuple[Transport, tuple[str, int]], dict[Exchange, None]] = {}

    def __bool__(self) -> bool:
        """Whether anything is in it."""
        return bool(self.clients or self.servers or self._merged or self._streams)

    def of_response(self, response: Response) -> ClientTransaction | None:
        """RFC 3261 §17.1.3. Not what §18.1.2 says: sent-by is not compared. Behind a NAT it may be another's idea of
        us, and nobody guesses our branch."""
        return self.clients.get((response.via.branch or "", response.cseq.method))

    def merged_with(self, request: Request) -> ServerTransaction | None:
        """The transaction of the same request that came over another path (RFC 3261 §8.2.2.2)."""
        key = merge_key(request)
        return self._merged.get(key) if key is not None else None

    def hit_by(self, failure: Outgoing | Destination | Flow) -> list[Exchange]:
        """The transactions that a failure to send, to reach a destination, or of a connection concerns."""
        if isinstance(failure, Outgoing):
            sender = failure.transaction
            # one that has gone on to its next destination is not concerned
            return [sender] if isinstance(sender, Exchange) and sender.destination is failure.destination else []
        if isinstance(failure, Flow):
            on_stream = self._streams.get((failure.transport, failure.remote), {})
            return [each for each in on_stream if _connection(each.destination) in (0, failure.connection)]
        return [each for each in self.clients.values() if each.destination == failure]

    def add_client(self, transaction: ClientTransaction) -> None:
        self.clients[transaction.branch, transaction.method] = transaction
        self._board(transaction)

    def remove_client(self, transaction: ClientTransaction) -> None:
        self.clients.pop((transaction.branch, transaction.method), None)
        self._alight(transaction)

    def add_server(self, transaction: ServerTransaction) -> None:
        self.servers[transaction.key] = transaction
        if transaction.merge_key is not None:
            self._merged[transaction.merge_key] = transaction
        self._board(transaction)

    def remove_server(self, transaction: ServerTransaction) -> None:
        self.servers.pop(transaction.key, None)
        if transaction.merge_key is not None:
            self._merged.pop(transaction.merge_key, None)
        self._alight(transaction)

    def _board(self, exchange: Exchange) -> None:
        if exchange.destination.transport.reliable:
            self._streams.setdefault(_far_end(exchange.destination), {})[exchange] = None

    def _alight(self, exchange: Exchange) -> None:
        if exchange.destination.transport.reliable:
            far_end = _far_end(exchange.destination)
            on_stream = self._streams[far_end]
            del on_stream[exchange]
            if not on_stream:
                del self._streams[far_end]


def _far_end(destination: Destination) -> tuple[Transport, tuple[str, int]]:
    flow = destination.flow
    return (destination.transport, (destination.host, destination.port) if flow is None else flow.remote)


def _connection(destination: Destination) -> int:
    return 0 if destination.flow is None else destination.flow.connection
