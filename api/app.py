"""Puts the application together: routes, settings, errors, the lifespan."""

import itertools
from collections.abc import Callable

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide

from api import lifespan, logs
from api.http import bodies, json_body, middleware, openai_errors, openapi
from api.routes import collections, documents, embed, health, migrations, models, openai, search
from api.service import Service
from api.settings import Settings
from api.web import pages

# How /docs groups the routes.
TAGGED = {
    "Documents": documents.ROUTES,
    "Search": search.ROUTES,
    "Collections": collections.ROUTES,
    "Migrations": migrations.ROUTES,
    "Embeddings": [*openai.ROUTES, *embed.ROUTES],
    "Models": models.ROUTES,
    "Health": health.ROUTES,
}
ROUTES = [*itertools.chain.from_iterable(TAGGED.values()), *pages.routes]
# Times `max_body_bytes`: the limit for the bodies of all requests together.
BODIES_AT_ONCE = 8


def create_app(
    settings: Settings,
    *,
    announce: Callable[[str], None] = lambda _step: None,
    loading: lifespan.Loading | None = None,
    public: bool = True,
) -> Litestar:
    """The service as an ASGI application; `announce` is called with the steps of a long start.

    `loading` is the default model, if it is being loaded already (`embedding.loading`). A service
    that is not `public` is for its own process only; the command line does not find it.
    """
    logs.configure(settings.log_level)
    app = Litestar(
        route_handlers=[
            *(Router("/", route_handlers=routes, tags=[tag]) for tag, routes in TAGGED.items()),
            *pages.routes,
        ],
        dependencies={"service": Provide(_service, sync_to_thread=False)},
        lifespan=[
            lambda app: lifespan.app_lifespan(
                app, settings, announce, loading=loading, public=public
            )
        ],
        before_request=middleware.refuse_unknown_parameters,
        exception_handlers={Exception: openai_errors.respond},
        openapi_config=openapi.openapi_config(),
        dto=json_body.JsonBody,
        return_dto=None,
        request_class=json_body.BoundedRequest,
        request_max_body_size=None,  # `BodyBudget` bounds it
        logging_config=None,
    )
    app.asgi_handler = bodies.BodyBudget(
        middleware.RawPath(app.asgi_handler),
        each=settings.max_body_bytes,
        together=BODIES_AT_ONCE * settings.max_body_bytes,
    )
    return app


def _service(state: State) -> Service:
    service = state.service
    if not isinstance(service, Service):
        raise TypeError(type(service))
    return service
