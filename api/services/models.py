"""What the service answers about a model."""

from collections.abc import Sequence

from api.schemas import models as model_schemas
from indexing.models.loaded import Loaded
from storage.spaces import SpaceRow


def model(
    row: SpaceRow,
    loaded: Loaded | None,
    collections: list[str],
    *,
    default: bool,
    missing: bool,
    aliases: Sequence[str],
    same: Sequence[str],
) -> model_schemas.Model:
    described = loaded.model.description if loaded else None
    return model_schemas.Model(
        id=row.model_id,
        created=int(row.created_at),
        owned_by="local",
        space=row.fingerprint,
        revision=row.revision,
        dimensions=row.dimensions,
        max_tokens=row.max_tokens,
        precision=row.precision,
        document_prompt=row.document_prompt,
        query_prompt=row.query_prompt,
        prompt_source=described.document_prompt.source if described else None,
        state="loaded" if loaded else "missing" if missing else "unloaded",
        default=default,
        directory=str(described.directory) if described else None,
        backend=f"{loaded.model.build['backend']} {loaded.model.dtype}" if loaded else None,
        canaries=loaded.report.describe() if loaded else None,
        collections=collections,
        warnings=list(described.warnings) if described else [],
        aliases=list(aliases),
        same_spaces=list(same),
        matryoshka=described.matryoshka if described else None,
        include_prompt=described.space.include_prompt if described else None,
        memory_bytes=loaded.memory_bytes if loaded else None,
        queue=_queue(loaded) if loaded else None,
    )


def _queue(loaded: Loaded) -> model_schemas.QueueStatus:
    status = loaded.model.status()
    return model_schemas.QueueStatus(
        waiting_tokens=status.waiting_tokens,
        capacity_tokens=status.capacity,
        tokens_per_second=round(status.tokens_per_second, 1),
        problem=status.problem,
    )
