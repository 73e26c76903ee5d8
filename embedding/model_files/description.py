import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from embedding import errors
from embedding.model_files import architecture as model_architecture
from embedding.model_files import checkpoint, int8_graph, json_files, modules, prompts, transformer
from embedding.model_files import space as model_space

Module = modules.Module
Prompt = prompts.Prompt

PRECISIONS = ("float", "int8")
NEAR_FLOAT = 0.95
DOT_PRODUCT = re.compile(r"dot[- _]?(product|score)|score functions?\W+dot", re.IGNORECASE)


@dataclass(frozen=True)
class ModelOptions:
    """What a person sets for a model; None leaves it to the model's own files, "" is no prompt."""

    max_tokens: int | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    dimensions: int | None = None
    precision: str = "float"

    def over(self, registered: "ModelOptions | None") -> "ModelOptions":
        """These, and what a model was registered with where these leave something open."""
        if registered is None:
            return self
        given = {key: value for key, value in asdict(self).items() if value is not None}
        if self.precision == ModelOptions.precision:
            del given["precision"]
        return replace(registered, **given)


@dataclass(frozen=True)
class ModelDescription:
    """A model under given options, as its files say; `modules` is the pipeline in its order.

    `matryoshka`: it says that it was trained so that fewer dimensions do. `int8`: where it has that
    precision.
    """

    name: str
    directory: Path
    revision: str | None
    space: model_space.Space
    query_prompt: Prompt
    document_prompt: Prompt
    modules: tuple[Module, ...]
    native_dimensions: int
    matryoshka: bool
    warnings: tuple[str, ...]
    options: ModelOptions
    int8: int8_graph.Int8Graph | None = None


def describe(
    name: str,
    directory: Path,
    *,
    revision: str | None = None,
    options: ModelOptions | None = None,
) -> ModelDescription:
    """Read and hash a model's files, without torch; any EmbeddingError says which file and why."""
    options = options or ModelOptions()
    directory = Path(directory)
    _check_request(directory, options)
    steps = modules.read(directory) or _plain_transformer(directory)
    folder = directory / steps[0].folder
    body = transformer.read(folder, steps[0], max_tokens=options.max_tokens)
    found = prompts.resolve(
        directory, folder, query=options.query_prompt, document=options.document_prompt
    )
    dimensions, heads = _heads(directory, steps, body.dimensions)
    steps = (body.module, *steps[1:])
    space = _space(body, heads, dimensions, prompt=found.document.text, kept=options.dimensions)
    int8 = None
    if options.precision == "int8":
        int8 = int8_graph.read(directory, of=space.fingerprint)
        space = _quantised(space, int8)
    matryoshka = prompts.names_matryoshka(directory, folder)
    return ModelDescription(
        name=name,
        directory=directory,
        revision=revision,
        space=space,
        query_prompt=found.query,
        document_prompt=found.document,
        modules=steps,
        native_dimensions=dimensions,
        matryoshka=matryoshka,
        warnings=(
            *found.warnings,
            *_warnings(directory, steps),
            *_shortened(space, dimensions, matryoshka),
            *_far_from_float(int8),
        ),
        options=options,
        int8=int8,
    )


def options_of(space: model_space.Space, *, query_prompt: str | None = None) -> ModelOptions:
    """The options under which the files of a space give that space again."""
    return ModelOptions(
        max_tokens=space.max_tokens,
        query_prompt=query_prompt,
        document_prompt=space.document_prompt,
        dimensions=space.dimensions,
        precision=space.precision,
    )


def _check_request(directory: Path, options: ModelOptions) -> None:
    if options.precision not in PRECISIONS:
        raise errors.ModelRefused(
            f"the precision {options.precision!r} is not one of {', '.join(PRECISIONS)}"
        )
    if not directory.is_dir():
        raise errors.ModelNotFound(f"there is no directory {directory}")
    file = directory / prompts.FILE
    kind = json_files.read_optional(file).get("model_type")
    if options.precision == "int8":
        int8_graph.require(directory)
    if kind not in (None, "SentenceTransformer"):
        raise errors.ModelRefused(f"{file}: a {kind} is not served, only a SentenceTransformer")


def _plain_transformer(directory: Path) -> tuple[Module, ...]:
    """What sentence-transformers makes of a transformer alone: the mean of its token states."""
    if not (directory / model_architecture.FILE).is_file():
        raise errors.ModelInvalid(
            directory / modules.FILE,
            "missing, and so is config.json: this is not a model's directory",
        )
    architecture = model_architecture.read(directory)
    heads = architecture.config.get("architectures") or []
    if any(str(head).endswith(("ForCausalLM", "ForConditionalGeneration")) for head in heads):
        raise errors.ModelRefused(
            f"{directory}: a language model ({heads[0]}) without {modules.FILE} says nothing of how"
            " its states become one vector; save it as a sentence-transformers model first"
        )
    pooling: dict[str, model_space.Json] = {
        "modes": ["mean"],
        "dimensions": architecture.hidden_size,
        "include_prompt": True,
    }
    return Module("Transformer", {}, ""), Module("Pooling", pooling, "")


def _heads(
    directory: Path, steps: tuple[Module, ...], width: int
) -> tuple[int, list[model_space.Json]]:
    """The dimensions that come out, and what the modules after the first do, each checked."""
    manifest: list[model_space.Json] = []
    for step in steps[1:]:
        entry: dict[str, model_space.Json] = {"kind": step.kind, "parameters": step.parameters}
        expected = step.parameters.get("in_features", step.parameters.get("dimensions", width))
        if expected != width:
            raise errors.ModelInvalid(
                directory / step.folder / "config.json",
                f"the {step.kind} takes {expected} dimensions, but {width} arrive",
            )
        if step.kind == "Pooling":
            modes = step.parameters["modes"]
            width *= len(modes) if isinstance(modes, list) else 1
        if step.kind in ("Dense", "LayerNorm"):
            weights = checkpoint.read(directory / step.folder)
            entry["weights"] = weights.summary()
            width = _width(weights, step, width)
        if step.kind != "Dropout":  # does nothing outside training
            manifest.append(entry)
    # Every vector is brought to unit length at the end, so a last Normalize adds nothing.
    while manifest and manifest[-1] == {"kind": "Normalize", "parameters": {}}:
        manifest.pop()
    return width, manifest


def _width(weights: checkpoint.Checkpoint, step: Module, width: int) -> int:
    claimed = step.parameters.get("out_features", width)
    name = "linear.weight" if step.kind == "Dense" else "norm.weight"
    shape = weights.shape(name)
    expected = (claimed, width) if step.kind == "Dense" else (claimed,)
    if shape != expected:
        raise errors.ModelInvalid(
            weights.file, f"{name} has the shape {shape}, but config.json says {expected}"
        )
    return shape[0]


def _space(
    body: transformer.TransformerInfo,
    heads: list[model_space.Json],
    dimensions: int,
    *,
    prompt: str,
    kept: int | None,
) -> model_space.Space:
    """The space in float; `kept`: the dimensions asked for, None for all."""
    kept = dimensions if kept is None else kept
    if not 1 <= kept <= dimensions:
        raise errors.DimensionsRefused(
            f"{kept} dimensions are asked for, but the model gives {dimensions}"
        )
    include_prompt = _includes_prompt(heads)
    manifest: dict[str, model_space.Json] = {
        "modules": [body.manifest, *heads],
        "tokenizer": body.tokenizer,
        "lower_case": body.lower_case,
        "document_prompt": prompt,
        "include_prompt": include_prompt,
        "max_tokens": body.limit,
        "dimensions": {"given": dimensions, "kept": kept},
        "precision": "float",
    }
    return model_space.Space(
        fingerprint=model_space.fingerprint(manifest),
        dimensions=kept,
        max_tokens=body.limit,
        document_prompt=prompt,
        include_prompt=include_prompt,
        lower_case=body.lower_case,
        precision="float",
        manifest=manifest,
    )


def _quantised(space: model_space.Space, graph: int8_graph.Int8Graph) -> model_space.Space:
    """Other texts to calibrate with give another graph, and another space."""
    manifest = {**space.manifest, "precision": "int8", "graph": graph.sha256}
    return replace(
        space, fingerprint=model_space.fingerprint(manifest), precision="int8", manifest=manifest
    )


def _includes_prompt(heads: list[model_space.Json]) -> bool:
    return all(
        head["parameters"].get("include_prompt", True)
        for head in heads
        if isinstance(head, dict) and isinstance(head["parameters"], dict)
    )


def _warnings(directory: Path, steps: tuple[Module, ...]) -> list[str]:
    found = []
    if not (directory / modules.FILE).is_file():
        found.append(
            f"{directory} has no {modules.FILE}: the mean of the token states is taken, which is"
            " right only for a model made that way"
        )
    if _made_for_dot_product(directory, steps):
        found.append(
            "the model was made for the dot product; vectors are brought to unit length here, so"
            " results are ranked by cosine and can differ from its authors'"
        )
    return found


def _shortened(space: model_space.Space, dimensions: int, matryoshka: bool) -> list[str]:
    if space.dimensions == dimensions or matryoshka:
        return []
    return [
        f"{space.dimensions} of {dimensions} dimensions are kept, but the model doesn't say"
        " that it was trained for that (Matryoshka); expect worse results"
    ]


def _far_from_float(int8: int8_graph.Int8Graph | None) -> list[str]:
    # With 300 texts 0.985 was measured; with 5 of them 0.79.
    if int8 is None or int8.worst_natural >= NEAR_FLOAT:
        return []
    return [
        f"in int8 the vectors are far from those in float ({int8.describe()}); calibrate with more"
        f" texts like those to embed: these were {int8.texts}, and about 300 are enough"
    ]


def _made_for_dot_product(directory: Path, steps: tuple[Module, ...]) -> bool:
    similarity = prompts.similarity(directory)
    if similarity in ("dot", "dot_product", "dot_score"):
        return True
    if similarity == "cosine" or any(step.kind == "Normalize" for step in steps):
        return False
    return bool(DOT_PRODUCT.search(prompts.readme(directory)))
