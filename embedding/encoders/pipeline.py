"""sentence-transformers' modules, loaded offline in fp32; torch is imported only when called."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import openvino
import tokenizers

from embedding.model_files import description

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer


def load(model: description.ModelDescription, device: str = "cpu") -> "SentenceTransformer":
    """The model as sentence-transformers runs it, with the space's limit and dimensions."""
    import torch  # noqa: PLC0415
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    loaded = SentenceTransformer(
        str(model.directory),
        device=device,
        local_files_only=True,
        trust_remote_code=False,
        truncate_dim=model.space.dimensions,
        model_kwargs={"dtype": torch.float32},
    )
    limit = model.space.max_tokens
    if is_static(model):
        tokenizer: tokenizers.Tokenizer = loaded[0].tokenizer  # type: ignore[assignment]
        tokenizer.no_truncation()
        if limit is not None:
            tokenizer.enable_truncation(limit)
    elif limit is not None:
        loaded.max_seq_length = limit
    return loaded.eval()


def missing_parameters(loaded: "SentenceTransformer", folder: Path) -> list[str]:
    """The transformer's parameters that its files lack, which the library fills at random."""
    model_class: Any = type(loaded[0].auto_model)
    _, info = model_class.from_pretrained(
        str(folder), local_files_only=True, output_loading_info=True
    )
    return [str(name) for name in info["missing_keys"]]


def is_static(model: description.ModelDescription) -> bool:
    return model.modules[0].kind == "StaticEmbedding"


def as_module(loaded: "SentenceTransformer", dimensions: int) -> "torch.nn.Module":
    """All steps of the pipeline as one module, from padded ids and masks to unit vectors."""
    import torch  # noqa: PLC0415

    class IdsToVectors(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = torch.nn.ModuleList(loaded)

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            pooling_mask: torch.Tensor,
        ) -> torch.Tensor:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            features = self.steps[0](features)
            # Tokens that pooling leaves out are masked only now: the transformer reads them all.
            features["attention_mask"] = pooling_mask
            for step in self.steps[1:]:
                features = step(features)
            vectors = features["sentence_embedding"][:, :dimensions]
            return torch.nn.functional.normalize(vectors, p=2, dim=1)

    return IdsToVectors().eval()


def save_graph(loaded: "SentenceTransformer", dimensions: int, file: Path) -> None:
    """Convert all steps to one OpenVINO graph in fp32, for rows of any number and length."""
    import torch  # noqa: PLC0415

    ids = torch.ones((2, 24), dtype=torch.long)
    mask = torch.ones((2, 24), dtype=torch.long)
    mask[1, 17:] = 0
    example = {"input_ids": ids, "attention_mask": mask, "pooling_mask": mask.clone()}
    with torch.no_grad():
        graph = openvino.convert_model(
            as_module(loaded, dimensions),
            example_input=example,
            input={name: openvino.PartialShape([-1, -1]) for name in example},
        )
    openvino.save_model(graph, file, compress_to_fp16=False)
