"""A complete 4 MB BERT with 32 dimensions and two layers, as sentence-transformers saves one."""

from pathlib import Path

import numpy as np

from tests import models

HIDDEN, INNER, LAYERS, POSITIONS, VOCABULARY = 32, 64, 2, 512, 30522
CONFIG = {
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
}


def directory(folder: Path) -> Path:
    """MiniLM's files with random weights."""
    models.variant(
        folder,
        configs={
            "config.json": CONFIG,
            "1_Pooling/config.json": {"word_embedding_dimension": HIDDEN},
        },
        remove=("model.safetensors", "data_config.json"),
    )
    models.save_tensors(folder, tensors())
    return folder


def tensors() -> models.Tensors:
    random = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (VOCABULARY, HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,),
        "embeddings.LayerNorm.bias": (HIDDEN,),
    }
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{name}.attention.{part}.weight"] = (HIDDEN, HIDDEN)
            shapes[f"{name}.attention.{part}.bias"] = (HIDDEN,)
        shapes[f"{name}.intermediate.dense.weight"] = (INNER, HIDDEN)
        shapes[f"{name}.intermediate.dense.bias"] = (INNER,)
        shapes[f"{name}.output.dense.weight"] = (HIDDEN, INNER)
        shapes[f"{name}.output.dense.bias"] = (HIDDEN,)
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{name}.{norm}.weight"] = (HIDDEN,)
            shapes[f"{name}.{norm}.bias"] = (HIDDEN,)
    return {name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
