"""Parts that several answers and requests share."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from storage import names

CollectionName = Annotated[
    str,
    Meta(
        # `$` alone would let a line end pass.
        pattern=rf"^{names.COLLECTION_PATTERN}$(?!\n)",
        description="Lower-case letters, digits, `_` and `-`; at most 63 characters.",
    ),
]
Metadata = dict[str, Any]


class ChunkingOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How texts are cut into chunks; the defaults depend on the model."""

    strategy: Literal["sentence", "none"] = "sentence"
    size: Annotated[int, Meta(ge=1)] | None = None
    overlap: Annotated[int, Meta(ge=0)] | None = None


class SpaceName(Struct, frozen=True, kw_only=True):
    """The embedding space that the vectors belong to."""

    id: str
    model: str


class Chunking(Struct, frozen=True, kw_only=True):
    """How the texts of an index are cut into chunks."""

    strategy: str
    size: int | None
    overlap: int | None
