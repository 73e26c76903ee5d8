"""Settings that change how the bundled model tokenizes, in every file that has an effect."""

from typing import Any

NORMALIZER = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True}
CASED = {"normalizer": NORMALIZER | {"strip_accents": None, "lowercase": False}}
UNCLEANED = NORMALIZER | {"strip_accents": None, "lowercase": True, "clean_text": False}
CONFIG = "tokenizer_config.json"

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {},
    "cased": {CONFIG: {"do_lower_case": False}},
    "unset": {CONFIG: {"do_lower_case": ...}, "tokenizer.json": CASED},
    "accents": {CONFIG: {"strip_accents": False}},
    "chinese": {CONFIG: {"tokenize_chinese_chars": False}},
    "library": {
        "sentence_bert_config.json": {"do_lower_case": True},
        CONFIG: {"do_lower_case": False},
    },
    "other class": {
        CONFIG: {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": False},
        "tokenizer.json": CASED,
    },
    "no class": {CONFIG: {"tokenizer_class": ..., "do_lower_case": False}},
    "older class": {CONFIG: {"tokenizer_class": "BertTokenizerFast", "do_lower_case": False}},
    "other normalizer": {"tokenizer.json": {"normalizer": {"type": "NFC"}}},
    "uncleaned": {"tokenizer.json": {"normalizer": UNCLEANED}},
}
TEXTS = [
    "Hello WORLD, how are you?",
    "Ünïcode Élève 中文 text",
    "a\u0000b\u200bc\tD",
    "İstanbul ẞ",
    "",
]
