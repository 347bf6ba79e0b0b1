"""A storage on a database server, opened through Optuna's own storage class for writing and for reading."""

from __future__ import annotations

import sqlalchemy.exc
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

from ablate.errors import StorageError
from ablate.storage.address import shown
from ablate.storage.faults import explain, unusable


def open_server(url: str, *, reading: bool = False) -> RDBStorage:
    """Open the storage at `url`; tables are created unless it is only read. Raises StorageError."""
    where = shown(url)
    try:
        return RDBStorage(url, skip_table_creation=reading)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise StorageError(
            f"not a storage URL: {where!r}",
            hint="write special characters of a user or password as %XX: / is %2F, @ is %40, : is %3A",
        ) from error
    except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
        raise explain(error.__cause__ or error, where) from error
    except (ImportError, RuntimeError) as error:
        raise unusable(error, where) from error
