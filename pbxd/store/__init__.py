"""Where records are kept: one SQLite file, or PostgreSQL by URL (DESIGN §5).

schema      the tables                       migrations/  how a store of any age becomes one of today
tenancy     more of them: what an account has    columns  what tables are made of
store       open, read, commit now           queue        writes that nobody waits for, in batches
migration   Alembic, loaded when needed      data_dir     the directory that must survive a restart
trouble     what passes, by name
"""

from pbxd.store.data_dir import DataDirectory, DataDirectoryError
from pbxd.store.store import Store, StoreError, Trouble, sqlite_url

__all__ = ["DataDirectory", "DataDirectoryError", "Store", "StoreError", "Trouble", "sqlite_url"]
