from api.schemas import collections as collection_schemas
from api.service import Service
from indexing.catalog import Collection
from storage import collections, hnsw, vectors


async def describe(service: Service, found: Collection) -> collection_schemas.Collection:
    async with service.engine.connect() as conn:
        counts = await collections.count(conn, found.row)
        progress = await hnsw.progress(conn, found.active.id)
    path = _path(found, counts.chunks, service.settings.hnsw_min_rows, progress)
    return collection_schemas.collection(found, counts, path)


def _path(
    found: Collection, chunks: int, min_rows: int, progress: hnsw.BuildProgress | None
) -> collection_schemas.SearchPath:
    active = found.active
    if active.hnsw == "ready":
        reason = "the HNSW index is built; `exact=true` compares with every vector"
        return collection_schemas.SearchPath(
            path="hnsw", reason=reason, ef_search=active.ef_search, recall=active.recall
        )
    if active.hnsw_error:
        reason = f"the HNSW index could not be built: {active.hnsw_error}"
    elif active.dimensions > vectors.MAX_HNSW_DIMENSIONS:
        reason = (
            f"{active.dimensions} dimensions are more than an HNSW index takes "
            f"({vectors.MAX_HNSW_DIMENSIONS})"
        )
    elif progress is not None:
        reason = f"the HNSW index is being built: {progress.phase}, {progress.share:.0%}"
    elif active.hnsw == "building":
        reason = "the HNSW index is being built: measuring its recall"
    elif chunks < min_rows:
        reason = f"with {chunks:,} vectors (under {min_rows:,}) an exact scan is fast enough"
    else:
        reason = "the HNSW index is built as soon as no bulk load runs"
    return collection_schemas.SearchPath(path="exact", reason=reason)
