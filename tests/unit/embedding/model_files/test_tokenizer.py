import json
from pathlib import Path

import pytest
import tokenizers

from embedding.model_files import description, transformer
from embedding.model_files import tokenizer as model_tokenizer
from tests import models, tokenizer_variants


@pytest.mark.parametrize("name", tokenizer_variants.VARIANTS)
def test_texts_are_tokenized_as_by_sentence_transformers(
    resaved: Path, tmp_path: Path, name: str
) -> None:
    directory = models.variant(tmp_path / "m", configs=tokenizer_variants.VARIANTS[name])
    settings = transformer.read_settings(directory)
    files = model_tokenizer.read(directory, model_type="bert", do_lower_case=settings.do_lower_case)
    tokenizer = tokenizers.Tokenizer.from_str(files.json())
    expected = json.loads((resaved / "ids.json").read_text())[name]
    assert [tokenizer.encode(text).ids for text in tokenizer_variants.TEXTS] == expected
    assert files.lower_case == (expected[0] == tokenizer.encode("hello world, how are you?").ids)


def test_texts_are_not_cut_or_padded() -> None:
    files = model_tokenizer.read(models.minilm_directory(), model_type="bert", do_lower_case=False)
    tokenizer = tokenizers.Tokenizer.from_str(files.json())
    assert len(tokenizer.encode("word " * 1000).ids) == 1002
    assert len(tokenizer.encode("word").ids) == 3


def test_equivalent_tokenizers_have_equal_spaces(tmp_path: Path) -> None:
    variants = tokenizer_variants.VARIANTS
    found = {
        name: description.describe("m", models.variant(tmp_path / name, configs=configs)).space
        for name, configs in variants.items()
    }
    for name in ("unset", "other normalizer", "uncleaned"):
        assert found[name] == found["plain"], name
    for name in ("no class", "older class"):
        assert found[name] == found["cased"], name
    different = {found[name].fingerprint for name in ("plain", "cased", "accents", "chinese")}
    assert len(different) == 4
