"""The errors that storage raises.

StorageError
├── ExtensionUnusable      pgvector is missing or too old
├── SchemaBehind           the database's schema is older than this program needs
├── SchemaAhead            a newer program has upgraded the database
├── CollectionNotFound
├── CollectionExists       the collection exists with other properties than requested
├── DocumentNotFound
├── IndexChanged           the active index is not the one that the caller encoded for
├── DocumentChanged        a document changed after the write was planned
├── FilterInvalid          a metadata filter is not valid
├── SourceUnusable         a table to adopt is missing, or does not match its description
└── ClusterError           the embedded PostgreSQL cannot be created, started or reached
"""


class StorageError(Exception):
    pass


class ExtensionUnusable(StorageError):
    pass


class SchemaBehind(StorageError):
    pass


class SchemaAhead(StorageError):
    def __init__(self, current: str | None, head: str) -> None:
        super().__init__(
            f"the schema of this database is at {current}, but this program supports it only up to "
            f"{head}: install the newer version of Vecmark that upgraded it"
        )


class CollectionNotFound(StorageError):
    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no collection {name!r}; create it with POST /v1/collections or "
            f"`vecmark collections create {name}`"
        )
        self.name = name


class CollectionExists(StorageError):
    pass


class DocumentNotFound(StorageError):
    def __init__(self, collection: str, document: str) -> None:
        super().__init__(f"the collection {collection!r} has no document {document!r}")


class IndexChanged(StorageError):
    pass


class DocumentChanged(StorageError):
    pass


class FilterInvalid(StorageError):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class SourceUnusable(StorageError):
    pass


class ClusterError(StorageError):
    pass
