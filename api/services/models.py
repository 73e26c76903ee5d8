"""Models for the routes: listed, found, linked and described."""

from litestar.exceptions import NotFoundException

from api.schemas import common as common_schemas
from api.schemas import embeddings as embedding_schemas
from api.schemas import models as model_schemas
from api.service import Service
from api.services import embeddings
from embedding.registry import sources
from indexing.models import links
from indexing.models.loaded import Loaded
from storage import spaces
from storage.spaces import SpaceRow


async def list_all(service: Service) -> model_schemas.ModelList:
    """Every model used so far, and the names of the available ones."""
    return model_schemas.ModelList(
        data=await _read_all(service),
        available=await embeddings.available_models(service),
        limits=model_schemas.RequestLimits(
            texts=embedding_schemas.MAX_TEXTS,
            matrix_texts=embedding_schemas.MAX_MATRIX,
            text_chars=service.settings.max_text_chars,
            body_bytes=service.settings.max_body_bytes,
        ),
        problems=dict(service.models.problems),
    )


async def find(service: Service, model_id: str) -> model_schemas.Model:
    """By id, alias or space. Raises NotFoundException."""
    name = embeddings.parse_model_name(model_id).name
    models = [
        model
        for model in await _read_all(service)
        if name in (model.id, model.space, *model.aliases)
    ]
    if not models:
        raise NotFoundException(f"no model {name!r} has been used yet; GET /v1/models lists them")
    # Models of one name can have made several spaces.
    return max(models, key=lambda model: (model.default, model.state == "loaded", model.created))


async def link(service: Service, request: model_schemas.NewLink) -> model_schemas.SpaceLink:
    """Raises LinkRefused, and what `using` does."""
    async with service.using(request.model) as loaded:
        row, worst = await links.link(service.engine, service.models, loaded, request.space)
    return model_schemas.SpaceLink(
        fingerprint=loaded.model.space.fingerprint,
        space=common_schemas.SpaceName(id=row.fingerprint, model=row.model_id),
        worst_cosine=worst,
    )


async def _read_all(service: Service) -> list[model_schemas.Model]:
    async with service.engine.connect() as conn:
        rows = await spaces.all_spaces(conn)
        collections = await spaces.used_by(conn)
        linked = await spaces.links(conn)
    loaded = {model.space_id: model for model in service.models.loaded}
    return [
        _describe(
            service,
            row,
            loaded.get(row.id),
            collections=collections.get(row.id, []),
            same_spaces=[fingerprint for fingerprint, id_ in linked.items() if id_ == row.id],
        )
        for row in rows
    ]


def _describe(
    service: Service,
    row: SpaceRow,
    loaded: Loaded | None,
    *,
    collections: list[str],
    same_spaces: list[str],
) -> model_schemas.Model:
    is_missing = row.fingerprint in service.models.problems
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
        state="loaded" if loaded else "missing" if is_missing else "unloaded",
        default=_is_default(service, row),
        directory=str(described.directory) if described else None,
        backend=f"{loaded.model.build['backend']} {loaded.model.dtype}" if loaded else None,
        canaries=loaded.report.describe() if loaded else None,
        collections=collections,
        warnings=list(described.warnings) if described else [],
        aliases=_aliases(service, row),
        same_spaces=same_spaces,
        matryoshka=described.matryoshka if described else None,
        include_prompt=described.space.include_prompt if described else None,
        memory_bytes=loaded.memory_bytes if loaded else None,
        queue=_queue(loaded) if loaded else None,
    )


def _is_default(service: Service, row: SpaceRow) -> bool:
    default = service.models.default
    return default is not None and default.space_id == row.id


def _aliases(service: Service, row: SpaceRow) -> list[str]:
    """Other names that requests may use for a space; the default's also by its setting."""
    names = set(sources.BUNDLED_NAMES) if row.model_id in sources.BUNDLED_NAMES else set()
    if _is_default(service, row):
        names.add(service.settings.model)
    return sorted(names - {row.model_id})


def _queue(loaded: Loaded) -> model_schemas.QueueStatus:
    status = loaded.model.status()
    return model_schemas.QueueStatus(
        waiting_tokens=status.waiting_tokens,
        capacity_tokens=status.capacity,
        tokens_per_second=round(status.tokens_per_second, 1),
        problem=status.problem,
    )
