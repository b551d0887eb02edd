"""The tables. Every row carries its account; times are seconds since the epoch.

An id is a ULID with its prefix (`pbxd.ids`). Rows the console shows have an integer `serial` as well, and there it is
the primary key, because SQLite counts up nothing else; `id` is unique all the same and is what other rows point to.

Rows that calls and phones write (bindings, calls, call_legs) have no foreign keys: the queue writes them in no order
between tables, and a record outlives the things it speaks of.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from pbxd.store import faxes, tenancy
from pbxd.store.columns import (
    account_column,
    changing_columns,
    declared_column,
    id_column,
    options_column,
    serial_column,
)

REVISION = "0019"  # the newest migration; a test proves it
METADATA = tenancy.numbers.metadata  # with the tables of that module
FAX_TABLES = (faxes.fax_jobs, faxes.received_faxes, faxes.fax_keys)

accounts = Table(
    "accounts",
    METADATA,
    id_column(),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("realm", Text, nullable=False),
    Column("timezone", Text),  # null is the house's
    Column("carrier", Text),  # a trunk's name; null: the house's, empty: none
    *changing_columns(),
)

domains = Table(
    "domains",
    METADATA,
    id_column(),
    account_column(),
    Column("host", Text, nullable=False, unique=True),
    Column("created_at", Float, nullable=False),
)

users = Table(
    "users",
    METADATA,
    id_column(),
    account_column(),
    Column("name", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    options_column(),
    *changing_columns(),
    UniqueConstraint("account_id", "name"),
)

devices = Table(
    "devices",
    METADATA,
    id_column(),
    account_column(),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("auth_username", Text, nullable=False),
    Column("realm", Text, nullable=False),
    Column("ha1_md5", Text, nullable=False),
    Column("ha1_sha256", Text, nullable=False),
    Column("domain", Text, nullable=False, server_default=""),  # that of the log-in user@domain
    Column("ha1b_md5", Text, nullable=False, server_default=""),  # HA1 of user@domain
    Column("ha1b_sha256", Text, nullable=False, server_default=""),
    options_column(),
    *changing_columns(),
    UniqueConstraint("account_id", "auth_username"),
)

extensions = Table(
    "extensions",
    METADATA,
    id_column(),
    account_column(),
    Column("number", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), index=True),
    options_column(),
    *changing_columns(),
    UniqueConstraint("account_id", "number"),
)

trunks = Table(
    "trunks",
    METADATA,
    id_column(),
    account_column(),
    Column("name", Text, nullable=False),
    Column("proxy", Text),
    Column("sources", Text, nullable=False),  # JSON list of networks
    Column("from_user", Text),
    Column("max_calls", Integer),
    Column("transit", Boolean, nullable=False, default=False),
    options_column(),
    *changing_columns(),
    UniqueConstraint("account_id", "name"),
)

routes = Table(
    "routes",
    METADATA,
    id_column(),
    account_column(),
    Column("position", Integer, nullable=False),
    Column("pattern", Text, nullable=False),
    Column("trunk", Text, nullable=False),
    Column("strip", Integer, nullable=False),
    Column("prepend", Text, nullable=False),
    *changing_columns(),
    Index(None, "account_id", "position"),
)

keys = Table(
    "keys",
    METADATA,
    id_column(),
    account_column(),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),  # SHA-256 of the key
    Column("scopes", Text, nullable=False),  # JSON list
    declared_column(),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("account_id", "name"),
)

bindings = Table(
    "bindings",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("user_name", Text, nullable=False),
    Column("device", Text, nullable=False, server_default=""),  # whose log-in it came with
    Column("contact", Text, nullable=False),
    Column("params", Text, nullable=False),  # the Contact's own parameters as the response repeats them
    Column("instance", Text),
    Column("reg_id", Text),
    Column("q", Integer, nullable=False),  # thousandths
    Column("call_id", Text, nullable=False),
    Column("cseq", BigInteger, nullable=False),
    Column("transport", Text, nullable=False),
    Column("local", Text, nullable=False),  # "127.0.0.1 5060"
    Column("source", Text, nullable=False),
    Column("behind_nat", Boolean, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("registered_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
)

_OPEN = text("ended_at IS NULL")
calls = Table(
    "calls",
    METADATA,
    serial_column(),
    Column("id", Text, nullable=False, unique=True),
    account_column(strict=False),
    Column("node", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("caller_name", Text, nullable=False),
    Column("called", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ringing_at", Float),
    Column("answered_at", Float),
    Column("ended_at", Float),
    Column("result", Text),
    Column("sip_status", Integer),
    Column("q850", Integer),
    Column("reason", Text),
    Column("ended_by", Text),
    Column("flow", Text),  # flow/step where it ended
    Column("tags", Text),  # JSON list
    Column("queue", Text),  # the last one it waited in
    Column("queue_exit", Text),
    Column("queue_wait_s", Float),
    Column("operator", Text),
    Index(None, "account_id", "started_at"),
    Index("ix_calls_open", "node", sqlite_where=_OPEN, postgresql_where=_OPEN),
    sqlite_autoincrement=True,
)

call_legs = Table(
    "call_legs",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("call_id", Text, nullable=False, index=True),
    Column("role", Text, nullable=False),
    Column("party", Text, nullable=False),
    Column("sip_call_id", Text, nullable=False, index=True),
    Column("remote", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ringing_at", Float),
    Column("answered_at", Float),
    Column("ended_at", Float),
    Column("sip_status", Integer),
    Column("codec", Text),
    Column("srtp", Text),  # the crypto suite; NULL: plain RTP
    Column("quality", Text),  # JSON of LegQuality
)

recordings = Table(
    "recordings",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("node", Text, nullable=False),
    Column("call_id", Text, nullable=False, index=True),  # empty for that of a conference
    Column("room", Text, nullable=False),  # the conference's name, or empty
    Column("channels", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("path", Text, nullable=False),  # below the folder of recordings
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("seconds", Float, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("sha256", Text),
    Index(None, "account_id", "started_at"),
    Index(None, "state"),
)

outbox = Table(
    "outbox",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("idempotency_key", Text, nullable=False),  # the id where the producer gave none
    Column("kind", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("address", Text, nullable=False),  # JSON: recipient, or method, URL and headers
    Column("body", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("ended_at", Float, index=True),
    Column("reason", Text),
    UniqueConstraint("account_id", "idempotency_key"),
    Index(None, "state", "id"),
)

bans = Table(
    "bans",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("network", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("since", Float, nullable=False),
    Column("until", Float),  # null: for good
    Column("offence", Integer, nullable=False),
    Column("hits", BigInteger, nullable=False),
    Column("ended_at", Float, index=True),
    Column("ended_by", Text),
)

allowed_networks = Table(
    "allowed_networks",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("network", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("created_at", Float, nullable=False),
)

flow_versions = Table(
    "flow_versions",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("name", Text, nullable=False, index=True),
    Column("digest", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("made_by", Text, nullable=False),  # "file", or the name of a key
    Column("created_at", Float, nullable=False),
)

trace_segments = Table(
    "trace_segments",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float, nullable=False, index=True),  # of the last call
    Column("calls", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("names", LargeBinary, nullable=False),  # pbxd.trace.segment.checksums
    Column("data", LargeBinary, nullable=False),  # pbxd.trace.segment.compress
)

queue_states = Table(
    "queue_states",
    METADATA,
    id_column(),  # the account's
    account_column(strict=False),
    Column("data", Text, nullable=False),  # pbxd.services.queues.plain
    Column("saved_at", Float, nullable=False),
)

queue_days = Table(
    "queue_days",
    METADATA,
    id_column(),  # account/day
    Column("account_id", Text, nullable=False, index=True),
    Column("day", Text, nullable=False),
    Column("data", Text, nullable=False),  # pbxd.services.queues.statistics.Day
)

mailboxes = Table(
    "mailboxes",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("number", Text, nullable=False),
    Column("pin_hash", Text),  # Argon2id; null: the configuration's PIN is good
    Column("wrong_pins", Integer, nullable=False),  # in a row
    Column("locked_until", Float),
    Column("greetings", Text, nullable=False),  # JSON: file names by GreetingKind
    Column("created_at", Float, nullable=False),
    UniqueConstraint("account_id", "number"),
)

messages = Table(
    "messages",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("mailbox_id", Text, nullable=False, index=True),
    Column("caller", Text, nullable=False),
    Column("caller_name", Text, nullable=False),
    Column("call_id", Text, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("seconds", Float),  # null while it is being left
    Column("folder", Text, nullable=False),
    Column("urgent", Boolean, nullable=False),
    Column("forwarded_by", Text),
    Column("deleted_at", Float),
    Column("told_at", Float),  # when mail and webhook were handed to the outbox
    Column("transcript", Text),  # null where there is none
)

fraud_habits = Table(
    "fraud_habits",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("caller", Text, nullable=False),  # empty: the whole account
    Column("countries", Text, nullable=False),  # JSON: since when each is called
    Column("calls", Integer, nullable=False),  # abroad, in the busiest hour
    Column("minutes", Float, nullable=False),
    Column("seen_calls", Integer, nullable=False),  # likewise, of the last day
    Column("seen_minutes", Float, nullable=False),
    Column("since", Float, nullable=False),
    UniqueConstraint("account_id", "caller"),
)

fraud_blocks = Table(
    "fraud_blocks",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("caller", Text, nullable=False),
    Column("pattern", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("since", Float, nullable=False),
    Column("until", Float, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("ended_at", Float, index=True),
    Column("ended_by", Text),
)

edge_sessions = Table(
    "edge_sessions",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("call_id", Text, nullable=False),  # what the node calls it
    Column("flow", Text, nullable=False),
    Column("touched_at", Float, nullable=False),
    Column("state", Text, nullable=False),  # JSON
)

edge_calls = Table(
    "edge_calls",
    METADATA,
    id_column(),  # the call's
    account_column(strict=False),
    Column("node", Text, nullable=False),  # the house that keeps it
    Column("touched_at", Float, nullable=False),
    Column("data", Text, nullable=False),  # pbxd.services.kept
)

meta = Table(
    "meta",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
