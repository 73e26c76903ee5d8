"""The settings of a process: besides Alembic's env.py, the only code that reads the environment."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from api.http import validation

PREFIX = "VECMARK_"
# Names that other embedding services use for the same settings; the prefix works with them, too.
ALIASES = {"MODEL_PATH": "model", "MODEL_SEQ_LEN": "max_tokens"}

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(?:([KMGT])(i)?)?B?", re.IGNORECASE)


class SettingsError(ValueError):
    """A setting's value is invalid; the message names it and says what is accepted."""


def _default_data_dir() -> Path:
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/var/lib/vecmark")
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "vecmark"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A process's settings; every field is also `VECMARK_<NAME>` and a flag of `vecmark serve`."""

    data_dir: Annotated[
        Path, Meta(description="Directory for the embedded PostgreSQL, models and caches.")
    ] = msgspec.field(default_factory=_default_data_dir)
    database_url: Annotated[
        str | None,
        Meta(description="PostgreSQL server with pgvector; without it, an embedded one runs."),
    ] = None
    model: Annotated[
        str,
        Meta(
            description="Model for new collections: `bundled`, a directory, or a hub id "
            "(`org/name@revision`) downloaded with `vecmark models add`."
        ),
    ] = "bundled"
    max_tokens: Annotated[
        Annotated[int, Meta(ge=3)] | None,
        Meta(
            description="Maximum tokens per text for `model`, including prompt and special tokens."
        ),
    ] = None
    query_prompt: Annotated[
        str | None,
        Meta(description="Prefix for every query with `model`; empty means none."),
    ] = None
    document_prompt: Annotated[
        str | None,
        Meta(description="Prefix for every document with `model`; empty means none."),
    ] = None
    model_roots: Annotated[
        tuple[Path, ...],
        Meta(description="Directories whose models requests may use (separated by `:`)."),
    ] = ()
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"], Meta(description="Device: auto, cpu, cuda, mps.")
    ] = "auto"
    model_memory: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="Memory limit for loaded models, as `4GB` or in bytes; default: half of "
            "the memory of the machine or container."
        ),
    ] = None
    max_queued_tokens: Annotated[
        Annotated[int, Meta(ge=4096)],
        Meta(description="Maximum tokens queued for one model; beyond it, requests get 429."),
    ] = 300_000
    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)], Meta(description="Port to listen on.")
    ] = 8000
    url: Annotated[
        str | None,
        Meta(description="URL of the running service; default: found automatically."),
    ] = None
    pool_size: Annotated[
        Annotated[int, Meta(ge=2, le=200)],
        Meta(description="Maximum connections to PostgreSQL per process."),
    ] = 10
    max_body_bytes: Annotated[
        Annotated[int, Meta(ge=1024)],
        Meta(description="Maximum size of a JSON request, or of one line of a stream, in bytes."),
    ] = 32_000_000
    max_text_chars: Annotated[
        Annotated[int, Meta(ge=1)], Meta(description="Maximum characters per document.")
    ] = 4_000_000
    worker: Annotated[
        bool,
        Meta(
            description="Run migrations and pending embeddings in the service; `false` if "
            "`vecmark worker` processes run them."
        ),
    ] = True
    keep_queries: Annotated[
        bool,
        Meta(
            description="Keep a sample of search queries (1,000 per collection) to verify "
            "migrations with."
        ),
    ] = True
    hnsw_min_rows: Annotated[
        Annotated[int, Meta(ge=0)],
        Meta(description="Number of vectors from which HNSW is built; below it, search is exact."),
    ] = 10_000
    target_recall: Annotated[
        Annotated[float, Meta(gt=0, le=1)],
        Meta(description="recall@10, against exact search, to tune HNSW indexes for."),
    ] = 0.98
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Minimum log level.")
    ] = "info"

    @property
    def store(self) -> str:
        """Identifies the database: services of one data directory may use different ones."""
        database = self.database_url or f"embedded in {self.data_dir}"
        return hashlib.sha256(database.encode()).hexdigest()

    @property
    def local_url(self) -> str:
        """The URL by which this machine reaches the service, whatever address it listens on."""
        wildcards = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
        host = wildcards.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def models_dir(self) -> Path:
        return self.data_dir / "models"

    @property
    def cache_dir(self) -> Path:
        return self.data_dir / "cache"


FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}


def variable(name: str) -> str:
    """The environment variable of the field `name`."""
    return PREFIX + name.upper()


def load(environ: Mapping[str, str] | None = None, **flags: object) -> Settings:
    """Settings from the environment, overridden by those `flags` that are not None.

    Raises SettingsError naming the variable or flag whose value is invalid.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, object] = {}
    origin: dict[str, str] = {}
    for key, raw in environ.items():
        name = key.removeprefix(PREFIX)
        if not (key.startswith(PREFIX) or key in ALIASES) or not name.isupper():
            continue
        field = ALIASES.get(name, name.lower())
        if field in FIELDS and not (name in ALIASES and variable(field) in environ):
            values[field], origin[field] = _from_text(field, raw), key
    for field, value in flags.items():
        if value is not None:
            values[field], origin[field] = value, "--" + field.replace("_", "-")
    return _convert(values, origin)


def _from_text(field: str, raw: str) -> object:
    if field == "model_roots":
        return [part for part in raw.split(os.pathsep) if part]
    if field in {"query_prompt", "document_prompt"}:
        return raw
    return raw if raw != "" or field == "model" else None


def _bytes(raw: str, origin: str) -> int:
    match = _SIZE.fullmatch(raw.strip())
    if match is None:
        raise SettingsError(f"{origin}: {raw!r} is not a size such as 4GB, 512MiB or 4000000000")
    number, prefix, binary = match.groups()
    power = " KMGT".index(prefix.upper()) if prefix else 0
    return int(float(number) * (1024 if binary else 1000) ** power)


def _convert(values: dict[str, object], origin: dict[str, str]) -> Settings:
    overrides = {name: value for name, value in values.items() if value is not None}
    if isinstance(size := overrides.get("model_memory"), str):
        overrides["model_memory"] = _bytes(size, origin["model_memory"])
    try:
        settings = msgspec.convert(
            overrides,
            Settings,
            strict=False,
            dec_hook=lambda kind, raw: kind(Path(raw).expanduser()),
        )
    except msgspec.ValidationError as error:
        path, reason = validation.split(str(error))
        reason = reason.removesuffix(validation.NOT_TEXT)
        field = path.partition("[")[0]
        raise SettingsError(f"{origin.get(field, field)}: {reason}") from error
    return msgspec.structs.replace(settings, data_dir=settings.data_dir.absolute())
