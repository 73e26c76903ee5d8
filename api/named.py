"""The models that requests name."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from api import problems
from api.embeddings import Role
from api.service import Service
from embedding import errors as embedding
from embedding import sources
from indexing import errors as indexing
from indexing.loaded import Loaded

_ROLES: tuple[Role, ...] = ("query", "document")


@dataclass(frozen=True)
class ModelName:
    """A model's name and the role that its suffix chooses, if it has one."""

    name: str
    role: Role | None


def split(given: str) -> ModelName:
    for role in _ROLES:
        name = given.removesuffix(f":{role}")
        if name != given:
            return ModelName(name, role)
    return ModelName(given, None)


@contextlib.asynccontextmanager
async def using(service: Service, name: str | None) -> AsyncIterator[Loaded]:
    """As `Service.using`; Invalid names the models that there are where this one is unknown."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            loaded = await stack.enter_async_context(service.using(name))
        except (indexing.ModelUnknown, embedding.ModelNotFound) as error:
            there = ", ".join(await available(service))
            reason = f"{error}. There are: {there}"
            raise problems.Invalid("model", reason, "unknown-model") from error
        yield loaded


async def available(service: Service) -> list[str]:
    """Names of the models that requests can use, loaded or not."""
    loaded = {one.name for one in service.models.loaded}
    return sorted(loaded | await asyncio.to_thread(_at_hand, service))


def _at_hand(service: Service) -> set[str]:
    places = service.models.places
    return {source.name for source in sources.candidates(places.roots, places.models_dir)}
