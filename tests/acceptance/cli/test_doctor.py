"""`vecmark doctor` and `vecmark db`: they report what is wrong and what to do."""

from tests import services


def test_schema_commands(tmp_path, empty_database_url):
    behind = services.run(tmp_path, "db", "current", database_url=empty_database_url)
    assert behind.returncode == 1
    assert "vecmark db upgrade" in behind.stderr
    upgraded = services.run(tmp_path, "db", "upgrade", database_url=empty_database_url)
    assert upgraded.stdout.startswith("Upgraded the schema from nothing to "), upgraded.stderr
    again = services.run(tmp_path, "db", "upgrade", database_url=empty_database_url)
    assert again.stdout.startswith("The schema is current")
    checked = services.run(tmp_path, "db", "check", database_url=empty_database_url)
    assert checked.returncode == 0, checked.stderr


def test_doctor_reports_no_problem_on_a_healthy_system(tmp_path, database_url, model_cache):
    (tmp_path / "cache").symlink_to(model_cache)
    done = services.run(tmp_path, "doctor", database_url=database_url, port=services.free_port())
    assert done.returncode == 0, done.stdout
    assert "FAIL" not in done.stdout
    for subject in ("data directory", "disk", "port", "database", "pgvector", "schema", "encoder"):
        assert f"ok    {subject}: " in done.stdout


def test_doctor_says_what_to_do(tmp_path, empty_database_url):
    done = services.run(tmp_path, "doctor", database_url=empty_database_url, model="/nowhere")
    assert done.returncode == 1
    assert "FAIL  schema: at nothing" in done.stdout
    assert "-> run `vecmark db upgrade`" in done.stdout
    assert "FAIL  model: there is no directory /nowhere" in done.stdout
