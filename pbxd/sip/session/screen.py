"""What the rules refuse before anybody is asked."""

from __future__ import annotations

from pbxd.sip.message import Request
from pbxd.sip.session.settings import SessionSettings
from pbxd.sip.session.usage import SDP, HeaderList


def screen(request: Request, settings: SessionSettings, min_se: int | None) -> tuple[int, HeaderList] | None:
    """What RFC 3261 §8.2.2.3, §8.2.3 and RFC 4028 §9 refuse without asking anybody. `min_se` is what a 422 must say,
    if one is due."""
    unknown = request.require - settings.options
    if unknown:
        return 420, [("Unsupported", ", ".join(sorted(unknown)))]
    if request.body:
        encoding = request.headers.get("Content-Encoding")
        if encoding is not None and encoding.strip().lower() != "identity":
            return 415, [("Accept-Encoding", "identity")]
        if request.method in ("INVITE", "UPDATE", "PRACK") and request.part(SDP) is None and not _optional(request):
            return 415, [("Accept", settings.accept_text)]
    if min_se is not None and settings.timed:
        return 422, [("Min-SE", str(min_se))]
    return None


def _optional(request: Request) -> bool:
    """Content-Disposition lets us pass over a body we do not know (RFC 3261 §20.11)."""
    disposition = (request.headers.get("Content-Disposition") or "").lower().replace(" ", "")
    return ";handling=optional" in disposition
