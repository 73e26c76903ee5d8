"""The `vecmark migrate` commands that errors and statuses suggest, naming the right collection."""

from storage import names


def migrate_command(collection: str, subcommand: str, options: str = "") -> str:
    """Such as `vecmark migrate cutover -c texts --force REASON`, in backticks."""
    rest = f" {options}" if options else ""
    return f"`vecmark migrate {subcommand}{collection_flag(collection)}{rest}`"


def collection_flag(collection: str) -> str:
    """` -c NAME`; empty for the collection that commands use by default."""
    return "" if collection == names.DEFAULT_COLLECTION else f" -c {collection}"
