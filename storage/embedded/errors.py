"""The errors of the PostgreSQL that Vecmark runs itself."""

from storage import errors


class EmbeddedError(errors.StorageError):
    """Base of the embedded PostgreSQL's errors."""


class ProgramsMissing(EmbeddedError):
    """The package that carries PostgreSQL is not installed, or not for this platform."""


class AccountMissing(EmbeddedError):
    """We are root, and no other account can run PostgreSQL."""


class DirectoryUnreachable(EmbeddedError):
    """A directory cannot be used because of its mode, its owner or its content."""


class StartFailed(EmbeddedError):
    """PostgreSQL ended during its start, or its database cannot be used."""
