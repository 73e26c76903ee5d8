"""Settings from flags and the environment."""

from pathlib import Path

import pytest

from api import settings


def test_flags_win_over_variables() -> None:
    loaded = settings.load({"VECMARK_PORT": "8001", "VECMARK_HOST": "::1"}, port=8002, host=None)
    assert (loaded.port, loaded.host) == (8002, "::1")


@pytest.mark.parametrize("prefix", ["", "VECMARK_"])
def test_names_of_other_services_are_accepted(prefix: str) -> None:
    loaded = settings.load({f"{prefix}MODEL_PATH": "./files", f"{prefix}MODEL_SEQ_LEN": "128"})
    assert (loaded.model, loaded.max_tokens) == ("./files", 128)


def test_own_names_win_over_those_of_others() -> None:
    loaded = settings.load({"VECMARK_MODEL": "bundled", "MODEL_PATH": "./files"})
    assert loaded.model == "bundled"


def test_an_empty_prompt_means_none_and_is_not_unset() -> None:
    assert settings.load({"VECMARK_QUERY_PROMPT": ""}).query_prompt == ""
    assert settings.load({}).query_prompt is None


def test_roots_are_a_list() -> None:
    loaded = settings.load({"VECMARK_MODEL_ROOTS": "/srv/a:/srv/b"})
    assert loaded.model_roots == (Path("/srv/a"), Path("/srv/b"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("4000000000", 4 * 10**9),
        ("4GB", 4 * 10**9),
        ("1.5 gb", 15 * 10**8),
        ("512MiB", 512 * 2**20),
        ("2g", 2 * 10**9),
    ],
)
def test_memory_accepts_bytes_or_a_unit(value: str, expected: int) -> None:
    assert settings.load({"VECMARK_MODEL_MEMORY": value}).model_memory == expected
    assert settings.load({}, model_memory=value).model_memory == expected


def test_default_memory_depends_on_the_machine() -> None:
    assert settings.load({}).model_memory is None
    assert settings.load({"VECMARK_MODEL_MEMORY": ""}).model_memory is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VECMARK_MODEL_MEMORY", "much"),
        ("VECMARK_MODEL_MEMORY", "-1GB"),
        ("VECMARK_MODEL_MEMORY", "4PB"),
        ("VECMARK_MODEL_MEMORY", "0"),
        ("VECMARK_MAX_QUEUED_TOKENS", "4095"),
        ("VECMARK_PORT", "yes"),
        ("VECMARK_PORT", "0"),
        ("VECMARK_DEVICE", "tpu"),
        ("VECMARK_MAX_TOKENS", "1"),
        ("VECMARK_TARGET_RECALL", "1.5"),
        ("MODEL_SEQ_LEN", "long"),
    ],
)
def test_an_invalid_value_is_named(variable: str, value: str) -> None:
    with pytest.raises(settings.SettingsError, match=variable):
        settings.load({variable: value})


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("VECMARK_PORT", "many", "VECMARK_PORT: must be a whole number"),
        ("VECMARK_WORKER", "maybe", "VECMARK_WORKER: must be true or false"),
    ],
)
def test_a_value_of_the_wrong_kind_is_explained(variable, value, message):
    with pytest.raises(settings.SettingsError) as caught:
        settings.load({variable: value})
    assert str(caught.value) == message
