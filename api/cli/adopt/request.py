import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks for; `claimed`: the models to compare with, all at hand without any."""

    collection: str
    table: str
    id_column: str
    text_column: str
    embedding_column: str
    metadata_columns: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()
    source: str | None = None
    sample: int = 200
    least_cosine: float = 0.999
    least_share: float = 0.99
    dry_run: bool = False
