"""What can go wrong in storage.

StorageError
├── ExtensionUnusable      pgvector is missing or too old
├── SchemaBehind           the database's schema is not the one that this program needs
├── SchemaAhead            a newer program has upgraded the database
├── CollectionNotFound
├── CollectionExists       with other properties than asked for
├── DocumentNotFound
├── IndexChanged           the active index is not the one that the caller encoded for
├── DocumentChanged        a document changed between planning a write and making it
├── FilterInvalid          a metadata filter cannot be understood
├── SourceUnusable         a table to adopt is not there, or is not as it was said to be
└── ClusterError           the embedded PostgreSQL cannot be made, started or reached
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
            f"the schema of this database is at {current}, this program knows it up to {head}: "
            "install the newer version that made it"
        )


class CollectionNotFound(StorageError):
    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no collection {name!r}; make it with POST /v1/collections or "
            f"`vecmark collections create {name}`"
        )
        self.name = name


class CollectionExists(StorageError):
    pass


class DocumentNotFound(StorageError):
    def __init__(self, collection: str, document: str) -> None:
        super().__init__(f"the collection {collection!r} holds no document {document!r}")


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
