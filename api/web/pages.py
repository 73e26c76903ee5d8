"""The web page and its files; their URLs contain a digest, so that browsers may cache them."""

import hashlib
from functools import cache
from pathlib import Path

from litestar import Response, Router, get
from litestar.datastructures import CacheControlHeader
from litestar.enums import MediaType
from litestar.handlers import HTTPRouteHandler
from litestar.static_files import create_static_files_router

STATIC = Path(__file__).resolve().parent / "static"

# Nothing is loaded from other sites, and no other site may frame a page.
SECURE = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def read(name: str) -> str:
    """A page, with the version of its files filled in."""
    return (STATIC / name).read_text(encoding="utf-8").replace("{version}", version())


def version() -> str:
    """A digest of all static files: browsers load them again only after an upgrade."""
    digest = hashlib.sha256()
    for file in sorted(STATIC.rglob("*")):
        if file.is_file():
            digest.update(f"{file.relative_to(STATIC)}:{file.stat().st_size}\n".encode())
            if file.parent == STATIC:
                digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


_YEAR_S = 365 * 24 * 3600


@get("/", include_in_schema=False, sync_to_thread=False)
def search_page() -> Response[str]:
    return Response(
        _page(), media_type=MediaType.HTML, headers={**SECURE, "Cache-Control": "no-cache"}
    )


@cache
def _page() -> str:
    return read("index.html")


def _secure(response: Response[object]) -> Response[object]:
    response.headers.update(SECURE)
    return response


static_files = create_static_files_router(
    path="/static",
    directories=[STATIC],
    cache_control=CacheControlHeader(public=True, max_age=_YEAR_S, immutable=True),
    after_request=_secure,
    include_in_schema=False,
)

# Mounted at the app's root.
routes: list[HTTPRouteHandler | Router] = [search_page, static_files]
