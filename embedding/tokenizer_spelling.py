from collections.abc import Mapping
from typing import Any

from embedding import spaces

# What can differ between two saves of one tokenizer, or plays no part in turning text into ids:
# ids go back to text nowhere, and texts are cut and padded by the chunker and the batches.
NOT_IDENTITY = ("version", "truncation", "padding", "decoder")

# Written by newer versions of the tokenizers library, left out by older ones; "" is no affix.
MODEL_DEFAULTS: Mapping[str, object] = {
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}


def canonical(definition: Mapping[str, Any]) -> dict[str, spaces.Json]:
    """What of a tokenizer.json makes ids out of text, in one spelling for every version's save."""
    content = {key: value for key, value in definition.items() if key not in NOT_IDENTITY}
    added = content.get("added_tokens") or []
    return {
        **content,
        "model": _model(content["model"]),
        "added_tokens": sorted(added, key=lambda token: int(token["id"])),
        "pre_tokenizer": _pre_tokenizer(content.get("pre_tokenizer")),
        "post_processor": _frame(content.get("post_processor")),
    }


def _model(stored: Mapping[str, Any]) -> dict[str, Any]:
    model = {
        key: value
        for key, value in stored.items()
        if key not in MODEL_DEFAULTS or (value or None) != (MODEL_DEFAULTS[key] or None)
    }
    if "merges" in model:
        model["merges"] = [
            merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]
        ]
    return model


def _pre_tokenizer(stored: Any) -> Any:
    if not isinstance(stored, dict):
        return stored
    kind = stored.get("type")
    if kind == "Sequence":
        steps = [_pre_tokenizer(step) for step in stored.get("pretokenizers", [])]
        return {"type": kind, "pretokenizers": steps}
    if kind == "Metaspace":
        # A flag until version 0.14 of the tokenizers library, a scheme since then.
        scheme = "always" if stored.get("add_prefix_space", True) else "never"
        return {
            "type": kind,
            "replacement": stored.get("replacement"),
            "prepend_scheme": stored.get("prepend_scheme", scheme),
            "split": stored.get("split", True),
        }
    if kind == "ByteLevel":
        prefix, regex = stored.get("add_prefix_space", True), stored.get("use_regex", True)
        return {"type": kind, "add_prefix_space": prefix, "use_regex": regex}
    return stored


def _frame(stored: Any) -> list[Any]:
    """What is put around one text: [ids, type id] of special tokens, [None, type id] for itself."""
    if not isinstance(stored, dict):
        return []
    kind = stored.get("type")
    if kind == "Sequence":
        return [piece for step in stored.get("processors", []) for piece in _frame(step)]
    if kind == "ByteLevel":
        return []  # moves offsets, not ids
    if kind in ("BertProcessing", "RobertaProcessing"):
        return [[[stored["cls"][1]], 0], [None, 0], [[stored["sep"][1]], 0]]
    if kind == "TemplateProcessing":
        return [_piece(piece, stored["special_tokens"]) for piece in stored["single"]]
    return [stored]


def _piece(piece: Mapping[str, Any], special: Mapping[str, Any]) -> list[Any]:
    ((kind, value),) = piece.items()
    return [special[value["id"]]["ids"] if kind == "SpecialToken" else None, value["type_id"]]
