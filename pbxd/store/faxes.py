"""The tables of faxes: what is to be sent, what came in, and the keys of the fax contract."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, Table, Text, UniqueConstraint

from pbxd.store.columns import METADATA, account_column, id_column

fax_jobs = Table(
    "fax_jobs",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("to", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("backend", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False),  # the id where nobody gave one
    Column("priority", Integer, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("sha256", Text, nullable=False),  # of the document as it was given
    Column("ident", Text, nullable=False),
    Column("header", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("pages", Integer),
    Column("confirmed", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("vain", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("speed", Integer),
    Column("ecm", Boolean),
    Column("transport", Text),
    Column("remote_ident", Text),
    Column("duration_s", Float, nullable=False),
    Column("reason", Text),
    Column("error", Text),
    Column("provider_sid", Text, index=True),
    Column("made_by", Text, nullable=False),
    Column("told_at", Float),
    Column("cleaned_at", Float),  # when its documents were deleted
    UniqueConstraint("account_id", "idempotency_key"),
    Index(None, "account_id", "created_at"),
    Index(None, "state"),
)

received_faxes = Table(
    "received_faxes",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("event", Text, nullable=False),  # what makes it one and the same: a call, or a provider's id and event
    Column("caller", Text, nullable=False),
    Column("called", Text, nullable=False),
    Column("box", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("backend", Text, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("sha256", Text),  # of the PDF
    Column("remote_ident", Text, nullable=False),
    Column("speed", Integer),
    Column("ecm", Boolean),
    Column("duration_s", Float, nullable=False),
    Column("reason", Text, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("told_at", Float),
    UniqueConstraint("account_id", "event"),
    Index(None, "account_id", "received_at"),
)

fax_keys = Table(
    "fax_keys",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("hash", Text, nullable=False),  # SHA-256 of the token
    Column("scopes", Text, nullable=False),  # JSON list
    Column("rate_per_minute", Integer),  # null: that of the settings
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("last_used_at", Float),
)
