"""What can go wrong with the PostgreSQL that Vecmark runs itself."""

from storage import errors


class EmbeddedError(errors.StorageError):
    """Base of the embedded PostgreSQL's errors."""


class ProgramsMissing(EmbeddedError):
    """The package that carries PostgreSQL is not installed, or not for this platform."""


class AccountMissing(EmbeddedError):
    """Running as root, and there is no other account to run PostgreSQL as."""


class DirectoryUnreachable(EmbeddedError):
    """A directory cannot be used: its rights, its owner, or what it holds."""


class StartFailed(EmbeddedError):
    """PostgreSQL ended while it started, or could not be made to answer."""
