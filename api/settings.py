"""The settings of a process: the only place, with Alembic's env.py, that reads the environment."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PREFIX = "VECMARK_"
# Names that other embedding services use for the same thing; with the prefix, too.
ALIASES = {"MODEL_PATH": "model", "MODEL_SEQ_LEN": "max_tokens"}

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(?:([KMGT])(i)?)?B?", re.IGNORECASE)


class SettingsError(ValueError):
    """A setting cannot be used; the message names it and says what is accepted."""


def _default_data_dir() -> Path:
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/var/lib/vecmark")
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "vecmark"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A process's settings; every field is also `VECMARK_<NAME>` and a flag of `vecmark serve`."""

    data_dir: Annotated[
        Path, Meta(description="Where the embedded PostgreSQL, models and caches are kept.")
    ] = msgspec.field(default_factory=_default_data_dir)
    database_url: Annotated[
        str | None,
        Meta(description="A PostgreSQL server with pgvector; without it the embedded one runs."),
    ] = None
    model: Annotated[
        str,
        Meta(
            description="The model of new collections: a directory, `bundled`, or a hub id "
            "(`org/name@revision`) fetched before by `vecmark models add`."
        ),
    ] = "bundled"
    max_tokens: Annotated[
        Annotated[int, Meta(ge=3)] | None,
        Meta(description="The limit of `model` in tokens, prompt and special tokens included."),
    ] = None
    query_prompt: Annotated[
        str | None,
        Meta(description="Put before every query for `model`; empty means none."),
    ] = None
    document_prompt: Annotated[
        str | None,
        Meta(description="Put before every document for `model`; empty means none."),
    ] = None
    model_roots: Annotated[
        tuple[Path, ...],
        Meta(description="Directories from which a request may name a model (separated by `:`)."),
    ] = ()
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"], Meta(description="Where models run.")
    ] = "auto"
    model_memory: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="What loaded models may take together, as `4GB` or in bytes; by default "
            "half of what the machine or the container's limit gives."
        ),
    ] = None
    max_queued_tokens: Annotated[
        Annotated[int, Meta(ge=4096)],
        Meta(
            description="Tokens that wait for one model's encoder at most; past it a request gets "
            "429."
        ),
    ] = 300_000
    host: Annotated[str, Meta(description="The address that the service listens on.")] = "127.0.0.1"
    port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)], Meta(description="The port that it listens on.")
    ] = 8000
    url: Annotated[
        str | None,
        Meta(description="The running service that the command line talks to, if not found."),
    ] = None
    pool_size: Annotated[
        Annotated[int, Meta(ge=2, le=200)],
        Meta(description="Connections to PostgreSQL that one process keeps at most."),
    ] = 10
    max_body_bytes: Annotated[
        Annotated[int, Meta(ge=1024)],
        Meta(description="The longest body of a JSON request; a stream is bounded by the line."),
    ] = 32_000_000
    max_text_chars: Annotated[
        Annotated[int, Meta(ge=1)], Meta(description="The longest text of one document.")
    ] = 4_000_000
    worker: Annotated[
        bool,
        Meta(
            description="Whether the service also works on migrations and on what waits to be "
            "embedded; `false` where `vecmark worker` processes do."
        ),
    ] = True
    keep_queries: Annotated[
        bool,
        Meta(
            description="Keep a sample of the texts searched for (1,000 a collection), to judge a "
            "migration by."
        ),
    ] = True
    hnsw_min_rows: Annotated[
        Annotated[int, Meta(ge=0)],
        Meta(description="Vectors in an index from which HNSW is built; below, search is exact."),
    ] = 10_000
    target_recall: Annotated[
        Annotated[float, Meta(gt=0, le=1)],
        Meta(description="The recall@10 against exact search that an HNSW index is tuned for."),
    ] = 0.98
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least level logged.")
    ] = "info"

    @property
    def store(self) -> str:
        """Tells apart the databases that services of one data directory may use."""
        named = self.database_url or f"embedded in {self.data_dir}"
        return hashlib.sha256(named.encode()).hexdigest()

    @property
    def local_url(self) -> str:
        """The address by which this machine reaches the service, whatever it listens on."""
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
    """Settings from the environment, with `flags` (those not None) before it.

    Raises SettingsError naming the variable or flag whose value cannot be used.
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
        raise SettingsError(f"{origin}: {raw!r} is no size such as 4GB, 512MiB or 4000000000")
    number, prefix, binary = match.groups()
    power = " KMGT".index(prefix.upper()) if prefix else 0
    return int(float(number) * (1024 if binary else 1000) ** power)


def _convert(values: dict[str, object], origin: dict[str, str]) -> Settings:
    known = {name: value for name, value in values.items() if value is not None}
    if isinstance(size := known.get("model_memory"), str):
        known["model_memory"] = _bytes(size, origin["model_memory"])
    try:
        settings = msgspec.convert(
            known, Settings, strict=False, dec_hook=lambda kind, raw: kind(Path(raw).expanduser())
        )
    except msgspec.ValidationError as error:
        where = str(error).rpartition("`$.")[2].rstrip("`").partition("[")[0]
        reason = str(error).partition(" - at ")[0]
        raise SettingsError(f"{origin.get(where, where)}: {reason}") from error
    return msgspec.structs.replace(settings, data_dir=settings.data_dir.absolute())
