"""The values of a transformer's config.json that its forward pass depends on, in one spelling."""

import json
import re
from collections.abc import Mapping
from typing import Any

from embedding.model_files import space

# Values that only name, describe or train a model, or matter only for other heads and generation.
# `dtype` is one of them because the tensors have their own: another type means other bytes.
NOT_FORWARD = frozenset(
    {
        "_attn_implementation", "_attn_implementation_autoset", "_commit_hash", "_name_or_path",
        "_num_labels", "adapters", "add_cross_attention", "architectures", "attn_implementation",
        "auto_map", "bad_words_ids", "begin_suppress_tokens", "bos_token_id",
        "chunk_size_feed_forward", "classifier_activation", "classifier_bias", "classifier_dropout",
        "classifier_dropout_prob", "classifier_pooling", "cls_token_id",
        "cross_attention_hidden_size",
        "decoder_bias", "decoder_start_token_id", "deterministic_flash_attn", "diversity_penalty",
        "do_sample", "dtype", "early_stopping", "encoder_no_repeat_ngram_size", "eos_token_id",
        "exponential_decay_length_penalty", "finetuning_task", "forced_bos_token_id",
        "forced_eos_token_id", "gradient_checkpointing", "id2label", "initializer_cutoff_factor",
        "initializer_factor", "initializer_range", "is_encoder_decoder", "label2id",
        "length_penalty", "mask_token_id", "max_length", "min_length", "no_repeat_ngram_size",
        "num_beam_groups", "num_beams", "num_labels", "num_return_sequences", "output_attentions",
        "output_hidden_states", "output_past", "output_scores", "prefix", "pretraining_tp",
        "problem_type", "pruned_heads", "qa_dropout", "reference_compile", "remove_invalid_values",
        "repad_logits_with_grad", "repetition_penalty", "return_dict", "return_dict_in_generate",
        "sep_token_id", "seq_classif_dropout", "sparse_pred_ignore_index", "sparse_prediction",
        "summary_activation", "summary_first_dropout", "summary_last_dropout",
        "summary_proj_to_labels", "summary_type", "summary_use_proj", "suppress_tokens",
        "task_specific_params", "temperature", "tf_legacy_loss", "tie_encoder_decoder",
        "tie_word_embeddings", "tokenizer_class", "top_k", "top_p", "torch_dtype", "torchscript",
        "transformers_version", "typical_p", "use_bfloat16", "use_cache", "vocab_size",
        "xla_device",
    }
)  # fmt: skip

# Only training drops anything out.
DROPOUT = re.compile(r"(^|_)(dropout|dropout_prob|dropout_rate|dropout_p)$|_pdrop$")

# Newer versions of the library write these defaults; older files leave them out.
_BERT = {
    "hidden_act": "gelu", "layer_norm_eps": 1e-12, "position_embedding_type": "absolute",
    "type_vocab_size": 2, "max_position_embeddings": 512, "pad_token_id": 0,
}  # fmt: skip
_ROBERTA = {**_BERT, "pad_token_id": 1}
_DEBERTA = {
    "layer_norm_eps": 1e-7, "hidden_act": "gelu", "legacy": True, "type_vocab_size": 0,
    "relative_attention": False, "max_relative_positions": -1, "position_biased_input": True,
    "pos_att_type": None, "pooler_hidden_act": "gelu", "pad_token_id": 0,
}  # fmt: skip
_DISTILBERT = {
    "activation": "gelu", "sinusoidal_pos_embds": False, "pad_token_id": 0,
    "max_position_embeddings": 512,
}  # fmt: skip
_MODERNBERT = {
    "attention_bias": False, "global_attn_every_n_layers": 3, "global_rope_theta": 160_000.0,
    "hidden_activation": "gelu", "local_attention": 128, "local_rope_theta": 10_000.0,
    "max_position_embeddings": 8192, "mlp_bias": False, "norm_bias": False, "norm_eps": 1e-5,
}  # fmt: skip
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "bert": _BERT,
    "electra": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "mpnet": {**_ROBERTA, "relative_attention_num_buckets": 32},
    "distilbert": _DISTILBERT,
    "albert": {**_BERT, "inner_group_num": 1, "num_hidden_groups": 1, "hidden_act": "gelu_new"},
    "deberta-v2": _DEBERTA,
    "modernbert": _MODERNBERT,
}

# Rotary settings used to have a name each; newer versions write one table, by kind of layer.
ROTARY_NAMES: Mapping[str, Mapping[str, str]] = {
    "modernbert": {"full_attention": "global_rope_theta", "sliding_attention": "local_rope_theta"},
    "gemma3_text": {"full_attention": "rope_theta", "sliding_attention": "rope_local_base_freq"},
}


def forward_config(model_type: str, config: Mapping[str, Any]) -> dict[str, space.Json]:
    """The values that change the forward pass, whichever version of the library wrote them."""
    values = _flatten_rotary(model_type, json.loads(json.dumps(config), parse_float=_number))
    if _is_redundant(model_type, values.get("layer_types"), values):
        del values["layer_types"]
    defaults = DEFAULTS.get(model_type)
    return {
        key: value
        for key, value in values.items()
        if key not in NOT_FORWARD
        and not DROPOUT.search(key)
        and not _is_default(key, value, defaults)
    }


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() else value  # files have 10000.0 as well as 10000


def _is_default(key: str, value: object, defaults: Mapping[str, Any] | None) -> bool:
    if (key == "rope_scaling" and value is None) or (key == "is_decoder" and value is False):
        return True
    if defaults is None:
        return False  # in an architecture not known here, null may mean something
    return defaults.get(key) == value and (key in defaults or value is None)


def _flatten_rotary(model_type: str, values: dict[str, Any]) -> dict[str, Any]:
    """The older spelling of the rotary settings, if it can express them."""
    table = values.get("rope_parameters")
    names = ROTARY_NAMES.get(model_type, {})
    by_layer = table if names else {"": table}
    if not isinstance(by_layer, dict) or not all(
        _is_default_rotary(entry) for entry in by_layer.values()
    ):
        return values
    settings = {
        names.get(kind, "rope_theta"): entry["rope_theta"] for kind, entry in by_layer.items()
    }
    return {**{key: value for key, value in values.items() if key != "rope_parameters"}, **settings}


def _is_default_rotary(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("rope_type", "default") == "default"
        and "rope_theta" in entry
        and set(entry) <= {"rope_type", "rope_theta"}
    )


def _is_redundant(model_type: str, layers: object, values: Mapping[str, Any]) -> bool:
    """Whether the other values already determine the kinds of layers."""
    if not isinstance(layers, list):
        return False
    if model_type == "modernbert":
        every = values.get("global_attn_every_n_layers", 3)
        expected = [
            "sliding_attention" if no % every else "full_attention" for no in range(len(layers))
        ]
        return layers == expected
    return set(layers) == {"full_attention"} and not values.get("use_sliding_window")
