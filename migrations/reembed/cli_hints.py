"""Commands that a text shows, so that they mean the collection that it speaks of."""


def command(collection: str, words: str, options: str = "") -> str:
    """`words` is the command after `vecmark migrate`."""
    return f"`vecmark migrate {words}{flag(collection)}{options and f' {options}'}`"


def flag(collection: str) -> str:
    """What a command needs to mean this collection."""
    return "" if collection == "default" else f" -c {collection}"
