"""Where a process looks for models, from its settings."""

from api.settings import Settings
from embedding.description import ModelOptions
from embedding.opening import Places


def of(settings: Settings) -> Places:
    """The prompts and the limit are those of the default model; others carry theirs."""
    return Places(
        default=settings.model,
        options=ModelOptions(
            max_tokens=settings.max_tokens,
            query_prompt=settings.query_prompt,
            document_prompt=settings.document_prompt,
        ),
        roots=settings.model_roots,
        models_dir=settings.models_dir,
        cache_dir=settings.cache_dir,
        device=settings.device,
        max_queued_tokens=settings.max_queued_tokens,
    )
