"""A model's tokenizer files: as one definition to run, and in the spelling that is hashed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from embedding import errors
from embedding.model_files import json_files, space

FILE = "tokenizer.json"
CONFIG = "tokenizer_config.json"

# These classes build their normalizer from tokenizer_config.json and ignore the one in
# tokenizer.json. sentence-transformers uses these classes, so the fingerprint must do the same.
BERT_CLASSES = {
    "BertTokenizer", "ConvBertTokenizer", "DistilBertTokenizer", "ElectraTokenizer",
    "FunnelTokenizer", "LayoutLMv2Tokenizer", "LxmertTokenizer", "MobileBertTokenizer",
    "MPNetTokenizer", "SplinterTokenizer", "SqueezeBertTokenizer",
}  # fmt: skip
BERT_TYPES = {"bert", "distilbert", "electra", "funnel", "mobilebert", "mpnet", "nomic_bert"}

# What differs between two saves of one tokenizer, or doesn't change the ids: nothing decodes ids,
# and truncation and padding are done elsewhere.
NOT_IDENTITY = ("version", "truncation", "padding", "decoder")

# Newer versions of the tokenizers library write these, older ones leave them out; "" is no affix.
MODEL_DEFAULTS: Mapping[str, object] = {
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}


@dataclass(frozen=True)
class TokenizerFiles:
    """The tokenizer that a model uses: `definition` is tokenizer.json with all overrides."""

    file: Path
    definition: Mapping[str, Any] = field(repr=False)
    model_max_length: int | None
    lower_case: bool
    highest_id: int

    def json(self) -> str:
        """For tokenizers.Tokenizer.from_str, with truncation and padding off."""
        return json.dumps(self.definition, ensure_ascii=False)

    def summary(self) -> dict[str, space.Json]:
        return {
            "kind": str(self.definition["model"].get("type")),
            "tokens": self.highest_id + 1,
            "sha256": space.digest(canonical(self.definition)),
        }


def read(folder: Path, *, model_type: str, do_lower_case: bool) -> TokenizerFiles:
    """Read a module's tokenizer; `do_lower_case` is sentence-transformers' setting."""
    file = folder / FILE
    if not file.is_file():
        raise errors.ModelInvalid(
            file,
            "the tokenizer is missing; if the model has only a vocabulary, load it in"
            " sentence-transformers and save it again, which creates this file",
        )
    definition = json_files.read_object(file)
    if not isinstance(definition.get("model"), dict):
        raise errors.ModelInvalid(file, "has no model")
    config = json_files.read_optional(folder / CONFIG)
    normalizer = _normalizer(definition.get("normalizer"), config, model_type)
    if do_lower_case and not _has_lowercase_step(normalizer):
        normalizer = _with_lowercase_step(normalizer)
    definition = {**definition, "normalizer": normalizer, "truncation": None, "padding": None}
    return TokenizerFiles(
        file=file,
        definition=definition,
        model_max_length=json_files.whole_number(folder / CONFIG, config, "model_max_length"),
        lower_case=_lowercases(normalizer),
        highest_id=_highest_id(file, definition),
    )


def _normalizer(stored: Any, config: Mapping[str, Any], model_type: str) -> Any:
    name = str(config.get("tokenizer_class") or "").removesuffix("Fast")
    is_bert = name in BERT_CLASSES or (not name and model_type in BERT_TYPES)
    if not is_bert:
        return stored
    return {
        "type": "BertNormalizer",
        "clean_text": True,
        "lowercase": bool(config.get("do_lower_case", True)),
        "strip_accents": config.get("strip_accents"),
        "handle_chinese_chars": bool(config.get("tokenize_chinese_chars", True)),
    }


def _steps(normalizer: Any) -> list[dict[str, Any]]:
    if not isinstance(normalizer, dict):
        return []
    if normalizer.get("type") == "Sequence":
        return [step for step in normalizer.get("normalizers", []) if isinstance(step, dict)]
    return [normalizer]


def _has_lowercase_step(normalizer: Any) -> bool:
    return any(step.get("type") == "Lowercase" for step in _steps(normalizer))


def _lowercases(normalizer: Any) -> bool:
    return _has_lowercase_step(normalizer) or any(
        step.get("type") == "BertNormalizer" and step.get("lowercase")
        for step in _steps(normalizer)
    )


def _with_lowercase_step(normalizer: Any) -> dict[str, Any]:
    # sentence-transformers puts this step first, and saves it there.
    return {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *_steps(normalizer)]}


def _highest_id(file: Path, definition: Mapping[str, Any]) -> int:
    vocabulary = definition["model"].get("vocab")
    if not isinstance(vocabulary, dict | list) or not vocabulary:
        raise errors.ModelInvalid(file, "has no vocabulary")
    ids = range(len(vocabulary)) if isinstance(vocabulary, list) else vocabulary.values()
    try:
        added = [token["id"] for token in definition.get("added_tokens") or []]
        return int(max(chain(ids, added)))
    except (KeyError, TypeError, ValueError) as exc:
        raise errors.ModelInvalid(file, f"has a token without a numeric id: {exc!r}") from exc


def canonical(definition: Mapping[str, Any]) -> dict[str, space.Json]:
    """What changes the ids, in one spelling for the saves of every version."""
    content = {key: value for key, value in definition.items() if key not in NOT_IDENTITY}
    added = content.get("added_tokens") or []
    return {
        **content,
        "model": _canonical_model(content["model"]),
        "added_tokens": sorted(added, key=lambda token: int(token["id"])),
        "pre_tokenizer": _canonical_pre_tokenizer(content.get("pre_tokenizer")),
        "post_processor": _canonical_template(content.get("post_processor")),
    }


def _canonical_model(stored: Mapping[str, Any]) -> dict[str, Any]:
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


def _canonical_pre_tokenizer(stored: Any) -> Any:
    if not isinstance(stored, dict):
        return stored
    kind = stored.get("type")
    if kind == "Sequence":
        steps = [_canonical_pre_tokenizer(step) for step in stored.get("pretokenizers", [])]
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


def _canonical_template(stored: Any) -> list[Any]:
    """What is put around a text: [ids, type id] of special tokens, [None, type id] for the text."""
    if not isinstance(stored, dict):
        return []
    kind = stored.get("type")
    if kind == "Sequence":
        return [
            piece for step in stored.get("processors", []) for piece in _canonical_template(step)
        ]
    if kind == "ByteLevel":
        return []  # changes offsets, not ids
    if kind in ("BertProcessing", "RobertaProcessing"):
        return [[[stored["cls"][1]], 0], [None, 0], [[stored["sep"][1]], 0]]
    if kind == "TemplateProcessing":
        return [_piece(piece, stored["special_tokens"]) for piece in stored["single"]]
    return [stored]


def _piece(piece: Mapping[str, Any], special: Mapping[str, Any]) -> list[Any]:
    ((kind, value),) = piece.items()
    return [special[value["id"]]["ids"] if kind == "SpecialToken" else None, value["type_id"]]
