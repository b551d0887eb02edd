"""What can go wrong in the house, each with the answer it deserves on SIP and on HTTP.

HouseError
├── Invalid        400 / 400   the request says something impossible
├── Unauthorized   401 / 401   no credentials, or wrong ones
├── Denied         403 / 403   known, and not allowed
├── NotFound       404 / 404   no such thing
├── Conflict       409 / 491   the thing has moved on
├── TooLarge       413 / 413   over a limit of size
├── Overloaded     503 / 503   not now; `retry_after_s` says when
└── Unavailable    503 / 480   the part that would do it is not there, or cannot now (StoreError)
"""

from __future__ import annotations


class HouseError(Exception):
    """An error with its answers: `http_status`, `sip_status`, and `code`, the word for machines. `retry_after_s` says
    when it is worth another try, where that is known."""

    http_status = 500
    sip_status = 500
    code = "internal_error"
    retry_after_s: int | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(HouseError):
    http_status, sip_status, code = 400, 400, "bad_request"


class Unauthorized(HouseError):
    http_status, sip_status, code = 401, 401, "unauthorized"


class Denied(HouseError):
    http_status, sip_status, code = 403, 403, "forbidden"


class NotFound(HouseError):
    http_status, sip_status, code = 404, 404, "not_found"


class Conflict(HouseError):
    http_status, sip_status, code = 409, 491, "conflict"


class TooLarge(HouseError):
    http_status, sip_status, code = 413, 413, "too_large"


class Overloaded(HouseError):
    http_status, sip_status, code = 503, 503, "overloaded"
    retry_after_s: int

    def __init__(self, message: str, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(HouseError):
    http_status, sip_status, code = 503, 480, "unavailable"
