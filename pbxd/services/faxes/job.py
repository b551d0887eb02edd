"""A fax that is to be sent: what was asked, how far it has got, how it ended.

queued → in_progress → SUCCESS | FAILED; `failed` where it never came as far as the first try; `disabled` where nothing
is sent. What has ended stays so, and what has begun is never queued again for those who ask: between two tries a fax
is in progress.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from media.fax import FaxReason


class JobState(StrEnum):
    """The words are the contract's."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    REFUSED = "failed"
    DISABLED = "disabled"

    @property
    def ended(self) -> bool:
        return self not in (JobState.QUEUED, JobState.IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class FaxJob:
    """One fax to one number. Times are seconds since the epoch.

    `pages` are those of the document, `confirmed` those that the far end has; the next try begins behind them.
    `tries` were begun, `vain` are those since a page last got through; `step` is how far speed and ECM have come down.
    `reason` is that of the last try, `error` a sentence for people. `sha256` is that of the document as it was given.
    """

    id: str
    account_id: str
    to: str
    state: JobState
    backend: str
    idempotency_key: str
    priority: int
    file_name: str
    sha256: str
    ident: str
    header: str
    detail: str
    created_at: float
    updated_at: float
    due_at: float
    pages: int | None = None
    confirmed: int = 0
    tries: int = 0
    vain: int = 0
    step: int = 0
    speed: int | None = None
    ecm: bool | None = None
    transport: str | None = None
    remote_ident: str | None = None
    duration_s: float = 0.0
    reason: FaxReason | None = None
    error: str | None = None
    provider_sid: str | None = None
    made_by: str = ""
    told_at: float | None = None
    cleaned_at: float | None = None


@dataclass(frozen=True, slots=True)
class FaxWish:
    """What somebody asks for. `key` makes it idempotent within the account; `at` is when it is to go, None at once.

    Higher `priority` goes first, -10 to 10. Without an `account_id` it is the house's own account.
    """

    to: str
    file_name: str = ""
    key: str = ""
    priority: int = 0
    at: float | None = None
    ident: str | None = None
    header: str | None = None
    detail: str | None = None
    made_by: str = ""
    account_id: str = ""


@dataclass(frozen=True, slots=True)
class FaxJobChanged:
    """On the bus whenever a job is stored in another state. `ended` comes once for each job."""

    job: FaxJob

    @property
    def ended(self) -> bool:
        return self.job.state.ended
