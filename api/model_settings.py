"""The settings that the models need, out of those of the process."""

from api.settings import Settings
from embedding.loading import ModelSettings
from embedding.model_files.description import ModelOptions


def from_settings(settings: Settings) -> ModelSettings:
    """The prompts and the limit apply to the default model; added models have their own."""
    return ModelSettings(
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
