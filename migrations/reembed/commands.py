"""Commands that a text shows, so that they mean the collection that it speaks of."""


def shown(collection: str, words: str, options: str = "") -> str:
    """`words` is the command after `vecmark migrate`."""
    flag = "" if collection == "default" else f" -c {collection}"
    return f"`vecmark migrate {words}{flag}{options and f' {options}'}`"
