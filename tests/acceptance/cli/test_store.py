"""How a command accesses the data: through a running service, or by opening it directly."""

import pytest

from tests import services


def test_an_unreachable_service_is_named(tmp_path):
    url = f"http://127.0.0.1:{services.free_port()}"
    done = services.run(tmp_path, "search", "words", url=url)
    assert done.returncode == 1
    assert f"no Vecmark service answers at {url}" in done.stderr


def test_data_without_a_running_service_is_opened_directly(home, model_cache, notes):
    services.prepare(home, model_cache)
    added = services.run(home, "add", str(notes))
    assert added.stdout.startswith("4 created, 0 failed"), added.stderr
    searched = services.run(home, "search", "-n", "1", "string instrument")
    assert "violin" in searched.stdout
    assert not (home / "service.json").exists()
    assert services.postgres_processes(home) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("collections", "show", "nothing"), "no collection nothing"),
        (("search", "-c", "nothing", "words"), "'nothing'"),
        (("collections", "create", "UPPER"), "name"),
        (("collections", "create", "box2", "--model", "/nowhere"), "/nowhere"),
        (("add", "/nowhere.txt"), "/nowhere.txt: no such file"),
        (("models", "show", "/nowhere"), "/nowhere"),
    ],
)
def test_a_failure_is_one_message_without_a_traceback(vecmark, arguments, message):
    done = vecmark(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("collection")
@pytest.mark.parametrize("group", ["collections", "models", "migrate"])
def test_a_group_without_a_subcommand_lists(vecmark, group):
    done = vecmark(group)
    assert done.returncode == 0, done.stderr
    assert done.stdout == vecmark(group, "list", *(["--all"] if group == "migrate" else [])).stdout
