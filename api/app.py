"""The one place where the application is put together."""

from collections.abc import Callable

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide

from api import lifespan, logs, problems, raw_path, strict
from api.routes import collections, documents, health, models, search
from api.service import Service
from api.settings import Settings
from api.web import openapi, page

ROUTES = [
    *collections.ROUTES,
    *documents.ROUTES,
    *search.ROUTES,
    *models.ROUTES,
    *health.ROUTES,
    *page.routes,
]


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
        route_handlers=ROUTES,
        dependencies={"service": Provide(_service, sync_to_thread=False)},
        lifespan=[
            lambda app: lifespan.opened(app, settings, announce, loading=loading, public=public)
        ],
        before_request=strict.known_parameters,
        exception_handlers={Exception: problems.respond},
        openapi_config=openapi.openapi_config(),
        request_max_body_size=None,
        logging_config=None,
    )
    app.asgi_handler = raw_path.RawPath(app.asgi_handler)
    return app


def _service(state: State) -> Service:
    service = state.service
    if not isinstance(service, Service):
        raise TypeError(type(service))
    return service
