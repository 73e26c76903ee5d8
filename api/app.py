"""The one place where the application is put together."""

import itertools
from collections.abc import Callable

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide

from api import body_budget, lifespan, logs, openai_errors, raw_path, strict
from api.routes import (
    collections,
    documents,
    embed,
    embeddings,
    health,
    migrations,
    models,
    search,
)
from api.service import Service
from api.settings import Settings
from api.web import openapi, page

# How /docs groups them.
TAGGED = {
    "Documents": documents.ROUTES,
    "Search": search.ROUTES,
    "Collections": collections.ROUTES,
    "Migrations": migrations.ROUTES,
    "Embeddings": [*embeddings.ROUTES, *embed.ROUTES],
    "Models": models.ROUTES,
    "Health": health.ROUTES,
}
ROUTES = [*itertools.chain.from_iterable(TAGGED.values()), *page.routes]
# Times `max_body_bytes`: what all requests together may hold of bodies.
BODIES_AT_ONCE = 8


def create_app(
    settings: Settings,
    *,
    announce: Callable[[str], None] = lambda _step: None,
    loading: lifespan.Loading | None = None,
    public: bool = True,
) -> Litestar:
    """The service as an ASGI application; `announce` is told the steps of a long start.

    `loading` is the default model, where its loading was begun before (`embedding.opening`). One
    that is not `public` serves its own process only, and is not announced to others.
    """
    logs.configure(settings.log_level)
    app = Litestar(
        route_handlers=[
            *(Router("/", route_handlers=one, tags=[tag]) for tag, one in TAGGED.items()),
            *page.routes,
        ],
        dependencies={"service": Provide(_service, sync_to_thread=False)},
        lifespan=[
            lambda app: lifespan.opened(app, settings, announce, loading=loading, public=public)
        ],
        before_request=strict.known_parameters,
        exception_handlers={Exception: openai_errors.respond},
        openapi_config=openapi.openapi_config(),
        request_max_body_size=None,
        logging_config=None,
    )
    limit = BODIES_AT_ONCE * settings.max_body_bytes
    app.asgi_handler = body_budget.BodyBudget(raw_path.RawPath(app.asgi_handler), limit)
    return app


def _service(state: State) -> Service:
    service = state.service
    if not isinstance(service, Service):
        raise TypeError(type(service))
    return service
