"""The pages' files: read once, their addresses carrying a digest so that browsers may keep them."""

import hashlib
from pathlib import Path

STATIC = Path(__file__).resolve().parent / "static"

# Nothing from elsewhere is loaded, nor may another site frame a page.
SECURE = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def read(name: str) -> str:
    """A page with the version of its files filled in."""
    return (STATIC / name).read_text(encoding="utf-8").replace("{version}", version())


def version() -> str:
    """A digest of everything static: a new release is loaded anew, the same one never."""
    digest = hashlib.sha256()
    for file in sorted(STATIC.rglob("*")):
        if file.is_file():
            digest.update(f"{file.relative_to(STATIC)}:{file.stat().st_size}\n".encode())
            if file.parent == STATIC:
                digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
