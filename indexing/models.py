"""The models that this process has loaded, each found by the fingerprint of its space."""

import asyncio
import contextlib
import dataclasses
import functools
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding import canaries, description, model, opening, sources
from embedding.errors import EmbeddingError
from embedding.model import Encoded
from indexing import errors, retries
from storage import spaces

log = structlog.get_logger()


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A model that may write and serve: its canaries (all of them if `full`) did not move."""

    model: model.LoadedModel
    space_id: int
    report: canaries.Report
    full: bool

    def space_of(self, encoded: Encoded) -> int:
        """The stored space that a result belongs to. Raises LoadRefused for a foreign one."""
        if encoded.fingerprint != self.model.space.fingerprint:
            raise errors.LoadRefused(
                f"{self.model.description.name} gave a vector of the space {encoded.fingerprint}"
            )
        return self.space_id


class Models:
    """Loads models, checks their canaries against the stored ones, and finds them again."""

    def __init__(self, engine: AsyncEngine, places: opening.Places) -> None:
        self._engine = engine
        self.places = places
        self._by_space: dict[int, Loaded] = {}
        self._loading = asyncio.Lock()
        self.default: Loaded | None = None
        self.problems: dict[str, str] = {}

    @property
    def loaded(self) -> Iterable[Loaded]:
        return self._by_space.values()

    def get(self, space_id: int, *, model_id: str, fingerprint: str) -> Loaded:
        """Raises ModelMissing."""
        found = self._by_space.get(space_id)
        if found is None:
            raise errors.ModelMissing(model_id, fingerprint, str(self.places))
        return found

    def has(self, space_id: int) -> bool:
        return space_id in self._by_space

    async def load_default(self, default: Awaitable[model.LoadedModel]) -> None:
        """Take the default model, loaded while the database was starting.

        What hinders it is kept in `problems`, not raised.
        """
        name = self.places.default
        try:
            async with self._loading:
                self.default = await self._take(await default, self.places.options)
        except (EmbeddingError, errors.IndexingError) as error:
            self.problems[name] = str(error)
            log.warning("model_unusable", model=name, reason=str(error))

    async def load_space(self, row: spaces.SpaceRow, links: Mapping[str, int]) -> bool:
        """Find and load the files of a stored space; False where they are not on this machine."""
        if self.has(row.id):
            return True
        wanted = {row.fingerprint, *(key for key, id_ in links.items() if id_ == row.id)}
        options = description.ModelOptions(**row.options)  # type: ignore[arg-type]
        found = await asyncio.to_thread(self._find, wanted, options)
        if found is None:
            missing = errors.ModelMissing(row.model_id, row.fingerprint, str(self.places))
            self.problems[row.fingerprint] = str(missing)
            log.warning("model_missing", model=row.model_id, space=row.fingerprint)
            return False
        try:
            await self._load(found, options)
        except (EmbeddingError, errors.IndexingError) as error:
            self.problems[row.fingerprint] = str(error)
            log.warning("model_unusable", model=row.model_id, reason=str(error))
            return False
        self.problems.pop(row.fingerprint, None)
        return True

    def _find(
        self, wanted: set[str], options: description.ModelOptions
    ) -> description.ModelDescription | None:
        try:
            default = self.places.source(self.places.default)
        except EmbeddingError:
            default = None
        for fingerprint in wanted:
            with contextlib.suppress(EmbeddingError):
                return sources.find(
                    fingerprint,
                    options,
                    roots=self.places.roots,
                    models_dir=self.places.models_dir,
                    default=default,
                )
        return None

    async def load(self, name: str, options: description.ModelOptions) -> Loaded:
        """Load what a person names: a directory under the roots, the bundled model or a hub id.

        Raises EmbeddingError, LoadRefused.
        """
        described = await asyncio.to_thread(self._describe, name, options)
        return await self._load(described, options)

    async def load_named(self, name: str) -> Loaded:
        """Load a model that a request names: never by a path, so that none is probed."""
        if name.startswith(("/", ".", "~")):
            raise errors.ModelUnknown(
                f"a request names a model by its folder's name under MODEL_ROOTS or by a hub id, "
                f"not by a path ({name!r})"
            )
        return await self.load(name, description.ModelOptions())

    def _describe(
        self, name: str, options: description.ModelOptions
    ) -> description.ModelDescription:
        return sources.descriptions.get(self.places.source(name), options)

    async def _load(
        self, described: description.ModelDescription, options: description.ModelOptions
    ) -> Loaded:
        async with self._loading:
            for loaded in self._by_space.values():
                if loaded.model.space.fingerprint == described.space.fingerprint:
                    return loaded
            opened = await asyncio.to_thread(opening.load, self.places, described)
            return await self._take(opened, options)

    async def _take(self, opened: model.LoadedModel, options: description.ModelOptions) -> Loaded:
        try:
            loaded = await self._admit(opened, options)
        except BaseException:
            opened.close()
            raise
        self._by_space[loaded.space_id] = loaded
        return loaded

    async def _admit(self, opened: model.LoadedModel, options: description.ModelOptions) -> Loaded:
        """Store the space if it is new; compare the canaries with the stored ones."""
        async with self._engine.begin() as conn:
            row = await spaces.ensure(conn, _new_space(opened, options))
        full = row.build != opened.build
        which = canaries.ALL if full else canaries.QUICK
        report = await check(opened, row, which)
        if full:
            async with self._engine.begin() as conn:
                await spaces.record_build(conn, row.id, opened.build)
        return Loaded(opened, row.id, report, full)

    async def check_rest(self) -> None:
        """Compare all canaries of models that started on a few; what moved stops serving."""
        for loaded in list(self._by_space.values()):
            if loaded.full:
                continue
            row = await retries.writing(functools.partial(self._space, loaded.space_id))
            try:
                report = await check(loaded.model, row, canaries.ALL)
            except errors.LoadRefused as error:
                self._refuse(loaded, str(error))
                continue
            self._replace(loaded, report=report, full=True)

    async def _space(self, space_id: int) -> spaces.SpaceRow:
        async with self._engine.connect() as conn:
            return await spaces.by_id(conn, space_id)

    def _refuse(self, loaded: Loaded, reason: str) -> None:
        log.error("model_refused", model=loaded.model.description.name, reason=reason)
        self._by_space = {
            key: one for key, one in self._by_space.items() if one.model is not loaded.model
        }
        if self.default is not None and self.default.model is loaded.model:
            self.default = None
            self.problems[self.places.default] = reason
        else:
            self.problems[loaded.model.description.name] = reason

    def move(self, loaded: Loaded, row: spaces.SpaceRow) -> None:
        """Serve another space, which the model was shown to equal."""
        self._replace(loaded, space_id=row.id)
        self.problems.pop(row.fingerprint, None)

    def _replace(self, loaded: Loaded, **changes: Any) -> None:
        """Another record of the same model, wherever it is held."""
        held = next((one for one in self._by_space.values() if one.model is loaded.model), None)
        if held is None:
            return
        changed = dataclasses.replace(held, **changes)
        del self._by_space[held.space_id]
        self._by_space.setdefault(changed.space_id, changed)
        if self.default is not None and self.default.model is loaded.model:
            self.default = changed

    def close(self) -> None:
        for loaded in self._by_space.values():
            loaded.model.close()
        self._by_space.clear()


async def check(
    opened: model.LoadedModel, row: spaces.SpaceRow, which: Iterable[int]
) -> canaries.Report:
    """Compare the model's canaries with the space's stored ones; raises LoadRefused."""
    chosen = list(which)
    if row.canaries_version != canaries.VERSION:
        raise errors.LoadRefused(
            f"the space {row.fingerprint} keeps canaries of version {row.canaries_version}, this "
            f"program has version {canaries.VERSION}: install the version that made it"
        )
    reference = row.canaries[np.asarray(chosen)]
    together = await opened.encode_canaries(chosen)
    # One at a time: queries of a model that serves already get their turn in between.
    alone = np.concatenate([await opened.encode_canaries([no], alone=True) for no in chosen])
    report = canaries.worse(
        canaries.compare(reference, together, chosen), canaries.compare(reference, alone, chosen)
    )
    if report.level == "refuse":
        raise errors.LoadRefused(
            f"{opened.description.name} makes other vectors than those stored for its space: "
            f"{report.describe()}. It neither writes nor serves: restore the former library "
            "versions or hardware"
        )
    if report.level == "warn":
        log.warning("canaries_moved", model=opened.description.name, report=report.describe())
    return report


def _new_space(opened: model.LoadedModel, options: description.ModelOptions) -> spaces.NewSpace:
    described = opened.description
    space = described.space
    return spaces.NewSpace(
        fingerprint=space.fingerprint,
        model_id=described.name,
        revision=described.revision,
        dimensions=space.dimensions,
        max_tokens=space.max_tokens,
        document_prompt=space.document_prompt,
        query_prompt=described.query_prompt.text,
        precision=space.precision,
        options=dataclasses.asdict(options),
        manifest=space.manifest,
        build=opened.build,
        canaries=opened.reference,
        canaries_version=canaries.VERSION,
    )
