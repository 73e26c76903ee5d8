"""GET /: the page with the search box, and the files that it and /docs are made of."""

from functools import cache

from litestar import Response, Router, get
from litestar.datastructures import CacheControlHeader
from litestar.enums import MediaType
from litestar.handlers import HTTPRouteHandler
from litestar.static_files import create_static_files_router

from api.web import pages

_YEAR_S = 365 * 24 * 3600


@get("/", include_in_schema=False, sync_to_thread=False)
def search_page() -> Response[str]:
    return Response(
        _page(), media_type=MediaType.HTML, headers={**pages.SECURE, "Cache-Control": "no-cache"}
    )


@cache
def _page() -> str:
    return pages.read("index.html")


def _secure(response: Response[object]) -> Response[object]:
    response.headers.update(pages.SECURE)
    return response


static_files = create_static_files_router(
    path="/static",
    directories=[pages.STATIC],
    cache_control=CacheControlHeader(public=True, max_age=_YEAR_S, immutable=True),
    after_request=_secure,
    include_in_schema=False,
)

# To be mounted at the app's root.
routes: list[HTTPRouteHandler | Router] = [search_page, static_files]
