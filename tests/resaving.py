"""Save models with the installed sentence-transformers: run as `python tests/resaving.py FOLDER`.

A separate process, because the libraries take seconds to import and warn while they do. Writes
FOLDER/minilm, and for each of TINY a model as an older version would have written it
(FOLDER/old/<type>) and the same saved again now (FOLDER/new/<type>). FOLDER/ids.json holds what its
tokenizer makes of tests/tokenizer_variants.py.
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent))

import safetensors.torch
import sentence_transformers
import torch
import transformers
from sentence_transformers.sentence_transformer import modules

from tests import models, tokenizer_variants

VOCABULARY = 30522
SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 64, "pad_token_id": 0,
}  # fmt: skip
TINY: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "roberta": {**SIZES, "pad_token_id": 1, "max_position_embeddings": 514},
    "xlm-roberta": {**SIZES, "pad_token_id": 1, "max_position_embeddings": 514},
    "mpnet": {**SIZES, "pad_token_id": 1, "max_position_embeddings": 514},
    "distilbert": {
        "vocab_size": VOCABULARY, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64,
        "pad_token_id": 0,
    },
    "electra": {**SIZES, "embedding_size": 16},
    "modernbert": {
        **SIZES, "global_rope_theta": 160000.0, "local_rope_theta": 10000.0,
        "global_attn_every_n_layers": 3, "bos_token_id": 101, "eos_token_id": 102,
        "cls_token_id": 101, "sep_token_id": 102,
    },
    "qwen3": {
        **SIZES, "num_key_value_heads": 2, "head_dim": 8, "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000, "rope_scaling": None, "attention_bias": False,
        "use_sliding_window": False, "sliding_window": None, "max_window_layers": 2,
        "max_position_embeddings": 4096,
    },
}  # fmt: skip


def write_old(folder: Path, model_type: str) -> None:
    """Keep only values that differ from the defaults, and the buffers that were saved then."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(model_type, **TINY[model_type])
    tensors = {
        name: tensor.contiguous()
        for name, tensor in transformers.AutoModel.from_config(config).state_dict().items()
    }
    if model_type in ("bert", "roberta", "xlm-roberta", "mpnet"):
        tensors["embeddings.position_ids"] = torch.arange(config.max_position_embeddings)[None]
    folder.mkdir(parents=True)
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    models.write_json(
        folder / "config.json",
        {**TINY[model_type], "model_type": model_type, "transformers_version": "4.8.2"},
    )
    source = models.minilm_directory()
    for name in ("modules.json", "tokenizer.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    models.write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512}
        | {"pad_token": "[PAD]", "unk_token": "[UNK]"},
    )
    models.write_json(
        folder / "1_Pooling/config.json",
        {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True},
    )
    (folder / "2_Normalize").mkdir()
    models.write_json(folder / "sentence_bert_config.json", {"max_seq_length": 128})


def write_old_tokenizer(folder: Path, tokenizer_class: str, definition: dict[str, Any]) -> None:
    """Replace BERT's tokenizer by an equivalent one in the format of years ago."""
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    ids = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4}
    added = [special | {"id": no, "special": True, "content": name} for name, no in ids.items()]
    parts = {"version": "1.0", "truncation": None, "padding": None, "normalizer": None}
    models.write_json(folder / "tokenizer.json", parts | {"added_tokens": added} | definition)
    config = {"tokenizer_class": tokenizer_class, "model_max_length": 512}
    models.write_json(folder / "tokenizer_config.json", config)


LETTERS = "abcdefghijklmnopqrstuvwxyz"
UNIGRAM = {
    "pre_tokenizer": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "▁", "str_rep": "▁", "add_prefix_space": True},
        ],
    },
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "</s>", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {
            "<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
            "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]},
        },
    },
    "decoder": {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True},
    "model": {
        "type": "Unigram",
        "unk_id": 3,
        "vocab": [
            *([name, 0.0] for name in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")),
            *([letter, -3.75] for letter in f"▁{LETTERS}"),
        ],
    },
}
BYTE_LEVEL = {
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
    "post_processor": {
        "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True,
        "add_prefix_space": False,
    },
    "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
    "model": {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "vocab": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4}
        | {token: 5 + no for no, token in enumerate([*LETTERS, "Ġ", "th", "the"])},
        "merges": ["t h", "th e"],
    },
}  # fmt: skip


def save_again(source: Path, target: Path) -> None:
    sentence_transformers.SentenceTransformer(str(source), device="cpu").save_pretrained(
        str(target), create_model_card=False
    )


def save_with_dense(target: Path) -> None:
    """MiniLM with a Dense and a LayerNorm module after pooling, as the library writes them."""
    model = sentence_transformers.SentenceTransformer(str(models.minilm_directory()), device="cpu")
    torch.manual_seed(0)
    dense = modules.Dense(384, 64, activation_function=torch.nn.Identity())
    sentence_transformers.SentenceTransformer(
        modules=[model[0], model[1], dense, modules.LayerNorm(64), modules.Normalize()],
        device="cpu",
    ).save_pretrained(str(target), create_model_card=False)


def write_ids(folder: Path) -> None:
    """The library's token ids of each text with each variant."""
    found = {}
    for name, configs in tokenizer_variants.VARIANTS.items():
        directory = models.variant(folder / "variants" / name, configs=configs)
        model = sentence_transformers.SentenceTransformer(str(directory), device="cpu")
        found[name] = [model.tokenizer(text)["input_ids"] for text in tokenizer_variants.TEXTS]
    models.write_json(folder / "ids.json", found)


def main(folder: Path) -> None:
    write_ids(folder)
    save_again(models.minilm_directory(), folder / "minilm")
    save_with_dense(folder / "dense")
    save_again(folder / "dense", folder / "dense-again")
    save_again(models.wordllama_directory(folder / "old/wordllama"), folder / "new/wordllama")
    for model_type in TINY:
        old = folder / "old" / model_type
        write_old(old, model_type)
        if model_type == "xlm-roberta":
            write_old_tokenizer(old, "XLMRobertaTokenizer", UNIGRAM)
        if model_type == "roberta":
            write_old_tokenizer(old, "RobertaTokenizer", BYTE_LEVEL)
        save_again(folder / "old" / model_type, folder / "new" / model_type)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
