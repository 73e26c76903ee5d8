from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedding import errors
from embedding.model_files import description, transformer
from tests import models

FILE = Path("sentence_bert_config.json")


@pytest.mark.parametrize(
    ("setting", "stated", "positions", "tokenizer", "expected"),
    [
        (100, 256, 512, 384, 100),
        (512, 256, 512, 128, 512),
        (None, 256, 512, 128, 256),
        (None, None, 512, 128, 128),
        (None, None, 512, 1024, 512),
        (None, None, 512, None, 512),
        (None, None, 512, 10**30, 512),
        (None, None, None, 2048, 2048),
        (None, None, None, 10**30, None),
        (None, 10**30, 512, None, 512),
        (None, None, None, None, None),
        (9000, None, None, None, 9000),
    ],
)
def test_the_first_source_with_a_limit_decides(
    setting: int | None,
    stated: int | None,
    positions: int | None,
    tokenizer: int | None,
    expected: int | None,
) -> None:
    found = transformer.effective_max_tokens(
        setting, stated=stated, stated_in=FILE, positions=positions, tokenizer=tokenizer
    )
    assert found == expected


def limit(directory: Path, **options: Any) -> int | None:
    model = description.describe("m", directory, options=description.ModelOptions(**options))
    return model.space.max_tokens


def test_a_setting_beyond_the_positions_is_refused_naming_both() -> None:
    with pytest.raises(errors.LimitTooLong, match=r"setting max_tokens is 513 .* 512 positions"):
        limit(models.minilm_directory(), max_tokens=513)
    assert limit(models.minilm_directory(), max_tokens=512) == 512


def test_a_file_beyond_the_positions_is_refused_naming_it(tmp_path: Path) -> None:
    configs = {"sentence_bert_config.json": {"max_seq_length": 1024}}
    directory = models.variant(tmp_path / "m", configs=configs)
    with pytest.raises(errors.LimitTooLong, match=r"sentence_bert_config.json is 1024 .* 512"):
        limit(directory)
    assert limit(directory, max_tokens=512) == 512


@pytest.mark.parametrize("tokens", [0, -5])
def test_a_limit_without_room_is_refused(tokens: int) -> None:
    with pytest.raises(errors.LimitTooShort, match=f"is {tokens}"):
        limit(models.minilm_directory(), max_tokens=tokens)


def test_without_a_stated_limit_the_tokenizers_limit_counts(tmp_path: Path) -> None:
    configs: dict[str, dict[str, Any]] = {"sentence_bert_config.json": {"max_seq_length": None}}
    assert limit(models.variant(tmp_path / "m", configs=configs)) == 512
    configs["tokenizer_config.json"] = {"model_max_length": 200}
    assert limit(models.variant(tmp_path / "n", configs=configs)) == 200


def test_an_older_name_of_the_settings_file_is_read(tmp_path: Path) -> None:
    directory = models.variant(
        tmp_path / "m",
        configs={"sentence_roberta_config.json": {"max_seq_length": 77}},
        remove=("sentence_bert_config.json",),
    )
    assert limit(directory) == 77


def test_robertas_positions_start_after_the_padding(tmp_path: Path) -> None:
    """A table of 514 positions allows 512 tokens: longer texts would read past its end."""

    def widen(tensors: models.Tensors) -> models.Tensors:
        del tensors["embeddings.position_ids"]
        name = "embeddings.position_embeddings.weight"
        return tensors | {name: np.vstack([tensors[name], tensors[name][:2]])}

    sizes = {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    directory = models.variant(
        tmp_path / "m",
        configs={
            "config.json": sizes,
            "sentence_bert_config.json": {"max_seq_length": None},
            "tokenizer_config.json": {"model_max_length": 514, "tokenizer_class": "Other"},
        },
        tensors=widen,
    )
    assert limit(directory) == 512
    with pytest.raises(errors.LimitTooLong, match="512 positions"):
        limit(directory, max_tokens=514)


def test_a_static_model_accepts_a_limit_setting(tmp_path: Path) -> None:
    directory = models.wordllama_directory(tmp_path / "w")
    assert limit(directory) is None
    assert limit(directory, max_tokens=100_000) == 100_000
