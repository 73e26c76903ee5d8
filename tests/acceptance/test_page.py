"""The page at / and the API reference at /docs are complete and load nothing from other hosts."""

import re
from html.parser import HTMLParser

import pytest

from api.web import pages

ELSEWHERE = re.compile(
    r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//|@import|url\(\s*["']?(?:https?:)?//"""
)


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline = 0

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.found += [values[name] for name in ("src", "href") if values.get(name)]
        self.inline += tag == "style" or (tag == "script" and "src" not in values)
        self.inline += sum(name == "style" or name.startswith("on") for name in values)


def links(text: str) -> Links:
    parser = Links()
    parser.feed(text)
    return parser


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_is_complete_and_loads_nothing_from_other_hosts(client, path):
    page = client.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    targets = links(page.text)
    assert targets.inline == 0
    assert any(link.startswith("/static/") for link in targets.found)
    for link in targets.found:
        assert link.startswith("/"), link
        assert client.get(link, follow_redirects=True).status_code == 200, link


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_allows_only_its_own_scripts(client, path):
    policy = client.get(path).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert client.get(path).headers["x-content-type-options"] == "nosniff"


def test_static_files_may_be_cached_and_pages_may_not(client):
    link = next(
        link for link in links(client.get("/").text).found if link.endswith(pages.version())
    )
    assert "immutable" in client.get(link).headers["cache-control"]
    assert client.get("/").headers["cache-control"] == "no-cache"


def test_own_files_contain_no_external_url():
    for file in pages.STATIC.glob("*.*"):
        assert not ELSEWHERE.search(file.read_text()), file


def test_the_page_inserts_no_text_as_html():
    script = (pages.STATIC / "page.js").read_text()
    for danger in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert danger not in script


def test_a_missing_file_is_a_problem(client):
    answer = client.get("/static/nothing.js")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_every_route_that_the_page_uses_is_documented(client):
    paths = client.get("/docs/openapi.json").json()["paths"]
    assert "/v1/collections" in paths
    assert "/v1/collections/{collection}/search" in paths
