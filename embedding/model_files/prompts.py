"""Which prompts a model was trained with, from its files, its weights or its names."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedding import errors
from embedding.model_files import checkpoint, json_files

FILE = "config_sentence_transformers.json"
README = "README.md"
README_BYTES = 1_000_000

# sentence-transformers uses the first of these for documents.
DOCUMENT_NAMES = ("document", "passage", "corpus")
QUERY_NAMES = ("query",)
NAME_LIKE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Prompt:
    """What is put in front of a text, and where it was found."""

    text: str
    source: str


@dataclass(frozen=True)
class Family:
    """Models trained with the same prompts, by a pattern of their names."""

    pattern: re.Pattern[str]
    query: str
    document: str


BGE_EN = "Represent this sentence for searching relevant passages: "
BGE_ZH = "为这个句子生成表示以用于检索相关文章："  # noqa: RUF001 - the model's own punctuation
WEB_SEARCH = (
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
)

# The first match counts: an instruct model comes before the family it is named after.
FAMILIES = (
    Family(re.compile(r"(multilingual-e5-large|e5-mistral-7b)-instruct"), WEB_SEARCH, ""),
    Family(re.compile(r"(multilingual-)?e5-(small|base|large)(-v2)?"), "query: ", "passage: "),
    Family(re.compile(r"bge-(small|base|large)-en(-v1\.5)?"), BGE_EN, ""),
    Family(re.compile(r"bge-(small|base|large)-zh(-v1\.5)?"), BGE_ZH, ""),
    Family(re.compile(r"nomic-embed-text-v(1|1\.5|2-moe)"), "search_query: ", "search_document: "),
    Family(re.compile(r"mxbai-embed-large-v1"), BGE_EN, ""),
    Family(re.compile(r"snowflake-arctic-embed-[lm]-v2\.0"), "query: ", ""),
    Family(re.compile(r"snowflake-arctic-embed-(xs|s|m|l|m-long|m-v1\.5)"), BGE_EN, ""),
)


@dataclass(frozen=True)
class Published:
    """A weights file as the authors published it."""

    model_id: str
    size: int
    query: str
    document: str = ""


# Models that need prompts but don't say so in their configuration, by the sha256 of the weights
# file. Only files of these sizes are hashed.
PUBLISHED: Mapping[str, Published] = {
    "d0d559c47d5f71b1d280b13b62a2657f3e3bc70c0786f9ab91a36545e6a8f693": Published(
        "intfloat/e5-base-v2", 437_955_512, "query: ", "passage: "
    ),
    "1a55775f53449dac10a2bcbc312469fac40b96d53198c407081a831f81c98477": Published(
        "intfloat/multilingual-e5-small", 470_641_600, "query: ", "passage: "
    ),
    "a18a44fad1d0b46ded15928144138cff1135d5cc8233bdd90be5f18822de09a7": Published(
        "intfloat/multilingual-e5-base", 1_112_201_288, "query: ", "passage: "
    ),
    "3c9f31665447c8911517620762200d2245a2518d6e7208acc78cd9db317e21ad": Published(
        "BAAI/bge-small-en-v1.5", 133_466_304, BGE_EN
    ),
    "45e1954914e29bd74080e6c1510165274ff5279421c89f76c418878732f64ae7": Published(
        "BAAI/bge-large-en-v1.5", 1_340_616_616, BGE_EN
    ),
}


@dataclass(frozen=True)
class Prompts:
    """The prompts of a model, and what is doubtful about them."""

    query: Prompt
    document: Prompt
    warnings: tuple[str, ...]


def resolve(
    directory: Path,
    weights: Path,
    *,
    query: str | None,
    document: str | None,
    published: Mapping[str, Published] = PUBLISHED,
) -> Prompts:
    """The prompts by settings, else by the model's files, its weights, or its names.

    `weights` is the folder of the first module. A setting may be the name of one of the model's
    prompts; "" means no prompt.
    """
    config = _read_configured(directory / FILE)
    named = {key: Prompt(text, FILE) for key, text in config.items()}
    warnings: list[str] = []
    defaults = _from_configuration(config)
    if defaults is None:
        defaults, warnings = _recognise(directory, weights, published)
        # Empty prompts mean nothing: the library writes them for models that have none.
        names = (*QUERY_NAMES, *DOCUMENT_NAMES[:2])
        named |= dict(zip(names, (*defaults, defaults[1]), strict=True))
    query_prompt, query_warnings = _apply_setting("query", query, defaults[0], named)
    document_prompt, document_warnings = _apply_setting("document", document, defaults[1], named)
    warnings = [*warnings, *query_warnings, *document_warnings]
    return Prompts(query_prompt, document_prompt, tuple(warnings))


def _apply_setting(
    kind: str, setting: str | None, default: Prompt, named: Mapping[str, Prompt]
) -> tuple[Prompt, list[str]]:
    if setting is None:
        return default, []
    if setting in named:
        prompt = named[setting]
        return Prompt(prompt.text, f"setting: the prompt {setting!r} of {prompt.source}"), []
    if not NAME_LIKE.fullmatch(setting):
        return Prompt(setting, "setting"), []
    names = ", ".join(sorted(named)) or "none"
    return Prompt(setting, "setting"), [
        f"the {kind} prompt {setting!r} looks like a name, but the model has no prompt of that name"
        f" (it has: {names}); so the setting itself is put in front of every {kind}"
    ]


def _read_configured(file: Path) -> dict[str, str]:
    prompts = json_files.read_optional(file).get("prompts") or {}
    if not isinstance(prompts, dict):
        raise errors.ModelInvalid(file, "prompts is not an object")
    for name, text in prompts.items():
        if text is not None and not isinstance(text, str):
            raise errors.ModelInvalid(file, f"the prompt {name} is not a text")
    return {str(name): text or "" for name, text in prompts.items()}


def _from_configuration(config: Mapping[str, str]) -> tuple[Prompt, Prompt] | None:
    if not any(config.values()):
        return None
    return _first_prompt(config, QUERY_NAMES), _first_prompt(config, DOCUMENT_NAMES)


def _first_prompt(config: Mapping[str, str], names: Sequence[str]) -> Prompt:
    # By default the library writes an empty "document" beside a model's own "passage".
    prompts = [config[name] for name in names if config.get(name)]
    return Prompt(prompts[0], FILE) if prompts else Prompt("", f"none in {FILE}")


def _recognise(
    directory: Path, weights: Path, published: Mapping[str, Published]
) -> tuple[tuple[Prompt, Prompt], list[str]]:
    model = _find_published(weights, published)
    if model:
        source = f"known weights ({model.model_id})"
        return (Prompt(model.query, source), Prompt(model.document, source)), []
    for name, file in _model_names(directory, weights):
        family = next((entry for entry in FAMILIES if entry.pattern.fullmatch(name)), None)
        if family:
            source = f"the name {name} in {file}"
            warning = (
                f"the prompts are those of {name}, because {file} names it; if the model was"
                " trained without prompts, set both to an empty text"
            )
            return (Prompt(family.query, source), Prompt(family.document, source)), [warning]
    return (Prompt("", "none"), Prompt("", "none")), []


def _find_published(folder: Path, published: Mapping[str, Published]) -> Published | None:
    file = folder / checkpoint.SINGLE
    sizes = {entry.size for entry in published.values()}
    if not file.is_file() or file.stat().st_size not in sizes:
        return None
    with file.open("rb") as handle:
        return published.get(hashlib.file_digest(handle, "sha256").hexdigest())


def _model_names(directory: Path, weights: Path) -> list[tuple[str, str]]:
    """The names of the model, and of what it was made from, by file; lower case, no owner."""
    config = json_files.read_optional(weights / "config.json")
    names = [(str(config.get("_name_or_path") or ""), "config.json")]
    names += [(name, README) for name in _names_in_readme(directory)]
    return [(_bare_name(name), file) for name, file in names if name]


def _bare_name(name: str) -> str:
    return name.strip().strip("'\"").rstrip("/").rpartition("/")[2].lower()


def _names_in_readme(directory: Path) -> list[str]:
    """The names in the model index, the base models and the title of a model card."""
    front, body = _split_front_matter(read_readme(directory))
    names = re.findall(r"(?m)^model-index:\s*\n\s*-\s*name:\s*(\S+)", front)
    names += re.findall(r"(?m)^base_model:[ \t]*(?:\n[ \t]*-[ \t]*)?([^\s\[]+)", front)
    title = re.search(r"(?m)^#+\s+(\S+)\s*$", body)
    return names + ([title[1]] if title else [])


def _split_front_matter(text: str) -> tuple[str, str]:
    if not text.startswith("---"):
        return "", text
    front, _, body = text[3:].partition("\n---")
    return front, body


def read_readme(directory: Path) -> str:
    """A model card, cut at a size that no real one has; "" if there is none."""
    file = directory / README
    if not file.is_file():
        return ""
    with file.open("rb") as handle:
        return handle.read(README_BYTES).decode("utf-8", "replace")


def similarity_function(directory: Path) -> str | None:
    """The similarity that the model was made for: "cosine", "dot", ...; None if unknown."""
    config: Mapping[str, Any] = json_files.read_optional(directory / FILE)
    name = config.get("similarity_fn_name")
    return None if name is None else str(name)


def mentions_matryoshka(directory: Path, folder: Path) -> bool:
    """Whether a model says that it was trained for vectors that are cut short."""
    keys: list[str] = [*json_files.read_optional(directory / FILE)]
    keys += json_files.read_optional(folder / "config.json")
    return "matryoshka" in " ".join([read_readme(directory), *keys]).lower()
