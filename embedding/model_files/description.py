"""A model as its files and options describe it, with the space that it makes."""

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
    """What a person sets for a model; None: as the model's files say; "": no prompt."""

    max_tokens: int | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    dimensions: int | None = None
    precision: str = "float"

    def with_defaults(self, added: "ModelOptions | None") -> "ModelOptions":
        """These options, and for those not set, the ones that the model was added with."""
        if added is None:
            return self
        options = {key: value for key, value in asdict(self).items() if value is not None}
        if self.precision == ModelOptions.precision:
            del options["precision"]
        return replace(added, **options)


@dataclass(frozen=True)
class ModelDescription:
    """A model with its options; `modules` is the pipeline in its order.

    `matryoshka`: it was trained so that its vectors can be cut short. `int8`: set if it has this
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
    """Read and hash a model's files, without torch; an EmbeddingError names the file at fault."""
    options = options or ModelOptions()
    directory = Path(directory)
    _check_options(directory, options)
    steps = modules.read(directory) or _default_modules(directory)
    folder = directory / steps[0].folder
    first = transformer.read(folder, steps[0], max_tokens=options.max_tokens)
    model_prompts = prompts.resolve(
        directory, folder, query=options.query_prompt, document=options.document_prompt
    )
    dimensions, rest = _read_rest(directory, steps, first.dimensions)
    steps = (first.module, *steps[1:])
    space = _float_space(
        first, rest, dimensions, prompt=model_prompts.document.text, requested=options.dimensions
    )
    int8 = None
    if options.precision == "int8":
        int8 = int8_graph.read(directory, of=space.fingerprint)
        space = _int8_space(space, int8)
    matryoshka = prompts.mentions_matryoshka(directory, folder)
    return ModelDescription(
        name=name,
        directory=directory,
        revision=revision,
        space=space,
        query_prompt=model_prompts.query,
        document_prompt=model_prompts.document,
        modules=steps,
        native_dimensions=dimensions,
        matryoshka=matryoshka,
        warnings=(
            *model_prompts.warnings,
            *_pipeline_warnings(directory, steps),
            *_dimension_warnings(space, dimensions, matryoshka),
            *_int8_warnings(int8),
        ),
        options=options,
        int8=int8,
    )


def options_of(space: model_space.Space, *, query_prompt: str | None = None) -> ModelOptions:
    """The options that make a space's files give that space again."""
    return ModelOptions(
        max_tokens=space.max_tokens,
        query_prompt=query_prompt,
        document_prompt=space.document_prompt,
        dimensions=space.dimensions,
        precision=space.precision,
    )


def _check_options(directory: Path, options: ModelOptions) -> None:
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
        raise errors.ModelRefused(f"{file}: a {kind} is not supported, only a SentenceTransformer")


def _default_modules(directory: Path) -> tuple[Module, ...]:
    """What sentence-transformers does with a bare transformer: the mean of its token states."""
    if not (directory / model_architecture.FILE).is_file():
        raise errors.ModelInvalid(
            directory / modules.FILE,
            "missing, and so is config.json: this is not a model's directory",
        )
    architecture = model_architecture.read(directory)
    classes = architecture.config.get("architectures") or []
    if any(str(name).endswith(("ForCausalLM", "ForConditionalGeneration")) for name in classes):
        raise errors.ModelRefused(
            f"{directory}: a language model ({classes[0]}) without {modules.FILE} doesn't say how"
            " its token states become one vector; save it as a sentence-transformers model first"
        )
    pooling: dict[str, model_space.Json] = {
        "modes": ["mean"],
        "dimensions": architecture.hidden_size,
        "include_prompt": True,
    }
    return Module("Transformer", {}, ""), Module("Pooling", pooling, "")


def _read_rest(
    directory: Path, steps: tuple[Module, ...], width: int
) -> tuple[int, list[model_space.Json]]:
    """Check the modules after the first; the dimensions that come out, and the manifest."""
    manifest: list[model_space.Json] = []
    for step in steps[1:]:
        entry: dict[str, model_space.Json] = {"kind": step.kind, "parameters": step.parameters}
        expected = step.parameters.get("in_features", step.parameters.get("dimensions", width))
        if expected != width:
            raise errors.ModelInvalid(
                directory / step.folder / "config.json",
                f"the {step.kind} expects {expected} dimensions, but gets {width}",
            )
        if step.kind == "Pooling":
            modes = step.parameters["modes"]
            width *= len(modes) if isinstance(modes, list) else 1
        if step.kind in ("Dense", "LayerNorm"):
            weights = checkpoint.read(directory / step.folder)
            entry["weights"] = weights.summary()
            width = _output_width(weights, step, width)
        if step.kind != "Dropout":  # only used in training
            manifest.append(entry)
    # Every vector is normalised at the end anyway, so a last Normalize changes nothing.
    while manifest and manifest[-1] == {"kind": "Normalize", "parameters": {}}:
        manifest.pop()
    return width, manifest


def _output_width(weights: checkpoint.Checkpoint, step: Module, width: int) -> int:
    claimed = step.parameters.get("out_features", width)
    name = "linear.weight" if step.kind == "Dense" else "norm.weight"
    shape = weights.shape(name)
    expected = (claimed, width) if step.kind == "Dense" else (claimed,)
    if shape != expected:
        raise errors.ModelInvalid(
            weights.file, f"{name} has the shape {shape}, but config.json says {expected}"
        )
    return shape[0]


def _float_space(
    first: transformer.TransformerInfo,
    rest: list[model_space.Json],
    dimensions: int,
    *,
    prompt: str,
    requested: int | None,
) -> model_space.Space:
    """The space in float; `requested`: dimensions, None for all."""
    kept = dimensions if requested is None else requested
    if not 1 <= kept <= dimensions:
        raise errors.DimensionsRefused(
            f"{kept} dimensions were requested, but the model has {dimensions}"
        )
    include_prompt = _includes_prompt(rest)
    manifest: dict[str, model_space.Json] = {
        "modules": [first.manifest, *rest],
        "tokenizer": first.tokenizer,
        "lower_case": first.lower_case,
        "document_prompt": prompt,
        "include_prompt": include_prompt,
        "max_tokens": first.limit,
        "dimensions": {"given": dimensions, "kept": kept},
        "precision": "float",
    }
    return model_space.Space(
        fingerprint=model_space.fingerprint(manifest),
        dimensions=kept,
        max_tokens=first.limit,
        document_prompt=prompt,
        include_prompt=include_prompt,
        lower_case=first.lower_case,
        precision="float",
        manifest=manifest,
    )


def _int8_space(space: model_space.Space, graph: int8_graph.Int8Graph) -> model_space.Space:
    """The same in int8: other texts for calibration make another graph, and another space."""
    manifest = {**space.manifest, "precision": "int8", "graph": graph.sha256}
    return replace(
        space, fingerprint=model_space.fingerprint(manifest), precision="int8", manifest=manifest
    )


def _includes_prompt(manifest: list[model_space.Json]) -> bool:
    return all(
        entry["parameters"].get("include_prompt", True)
        for entry in manifest
        if isinstance(entry, dict) and isinstance(entry["parameters"], dict)
    )


def _pipeline_warnings(directory: Path, steps: tuple[Module, ...]) -> list[str]:
    warnings = []
    if not (directory / modules.FILE).is_file():
        warnings.append(
            f"{directory} has no {modules.FILE}: the mean of the token states is used, which is"
            " right only for a model trained that way"
        )
    if _made_for_dot_product(directory, steps):
        warnings.append(
            "the model was made for the dot product; vectors are normalised here, so results are"
            " ranked by cosine and can differ from its authors'"
        )
    return warnings


def _dimension_warnings(space: model_space.Space, dimensions: int, matryoshka: bool) -> list[str]:
    if space.dimensions == dimensions or matryoshka:
        return []
    return [
        f"{space.dimensions} of {dimensions} dimensions are kept, but the model doesn't say"
        " that it was trained for that (Matryoshka); expect worse results"
    ]


def _int8_warnings(int8: int8_graph.Int8Graph | None) -> list[str]:
    # Measured: 0.985 with 300 texts, 0.79 with 5.
    if int8 is None or int8.worst_natural >= NEAR_FLOAT:
        return []
    return [
        f"the int8 vectors are far from those in float ({int8.describe()}); it was calibrated with"
        f" {int8.texts} texts: use more texts like those to embed, about 300 are enough"
    ]


def _made_for_dot_product(directory: Path, steps: tuple[Module, ...]) -> bool:
    similarity = prompts.similarity_function(directory)
    if similarity in ("dot", "dot_product", "dot_score"):
        return True
    if similarity == "cosine" or any(step.kind == "Normalize" for step in steps):
        return False
    return bool(DOT_PRODUCT.search(prompts.read_readme(directory)))
