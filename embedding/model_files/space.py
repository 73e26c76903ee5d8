"""An embedding space and its fingerprint."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

FORMAT = "fp1"

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None


@dataclass(frozen=True)
class Space:
    """Everything that must be equal for two vectors to be comparable."""

    fingerprint: str
    dimensions: int
    max_tokens: int | None
    document_prompt: str
    include_prompt: bool
    lower_case: bool
    precision: str
    manifest: Mapping[str, Json] = field(compare=False, repr=False)

    def truncated(self, dimensions: int) -> "Space":
        """The space of the same vectors, cut to their first `dimensions` and normalised again."""
        entry = self.manifest["dimensions"]
        reduced = {**entry, "kept": dimensions} if isinstance(entry, Mapping) else dimensions
        manifest = {**self.manifest, "dimensions": reduced}
        return replace(
            self,
            fingerprint=fingerprint(manifest),
            dimensions=dimensions,
            manifest=manifest,
        )


def canonical(value: Json) -> str:
    """The canonical JSON of a value: sorted keys, no white space, no NaN (ValueError)."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def digest(value: Json) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def fingerprint(manifest: Mapping[str, Json]) -> str:
    return f"{FORMAT}:{digest(manifest)}"
