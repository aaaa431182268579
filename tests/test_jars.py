"""Jars of earlier starts are named by their files while all of them are as they were, and resolved anew else."""

import json

import pytest

from headrace.jars import jars_of, keep_jars
from headrace.session import _choose_jars, delta_package

ASKED = "org.example:one:1"


@pytest.fixture
def jars(tmp_path, monkeypatch):
    """Two jars, an empty cache, and no spark-defaults."""
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path / "conf"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = [tmp_path / "a one.jar", tmp_path / "two.jar"]
    for path in made:
        path.write_bytes(b"jar")
    return made


def test_jars_are_remembered_by_what_was_asked_for(jars):
    assert jars_of(ASKED) is None
    keep_jars(ASKED, [path.as_uri() for path in jars])
    keep_jars("org.example:other:1", [jars[0].as_uri()])
    assert jars_of(ASKED) == [str(path) for path in jars]
    assert jars_of("org.example:other:1") == [str(jars[0])]


@pytest.mark.parametrize("change", ["gone", "cut", "broken"])
def test_what_changed_is_resolved_anew(jars, tmp_path, change):
    keep_jars(ASKED, [path.as_uri() for path in jars])
    if change == "gone":
        jars[0].unlink()
    elif change == "cut":
        jars[1].write_bytes(b"j")
    else:
        (tmp_path / "cache" / "headrace" / "jars.json").write_text("{")
    assert jars_of(ASKED) is None
    for path in jars:
        path.write_bytes(b"jar")
    keep_jars(ASKED, [path.as_uri() for path in jars])
    assert jars_of(ASKED) is not None


def test_a_cache_that_cannot_be_written_stops_nothing(jars, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder should be")
    keep_jars(ASKED, [jars[0].as_uri()])
    assert jars_of(ASKED) is None


@pytest.mark.parametrize("other", ["absent.jar", ""])
def test_no_list_without_all_of_its_jars_is_kept(jars, tmp_path, other):
    keep_jars(ASKED, [jars[0].as_uri(), (tmp_path / other).as_uri() if other else ""])
    assert jars_of(ASKED) is None
    assert not list((tmp_path / "cache").rglob("*.json"))


def test_a_session_names_the_jars_it_knows_and_resolves_the_others(jars):
    settings: dict[str, str] = {}
    assert _choose_jars(settings) == delta_package() == settings["spark.jars.packages"]
    keep_jars(delta_package(), [path.as_uri() for path in jars])
    settings = {"spark.driver.memory": "1g"}
    assert _choose_jars(settings) == ""
    assert settings == {"spark.driver.memory": "1g", "spark.jars": ",".join(map(str, jars))}


@pytest.mark.parametrize("more", [{"spark.jars": "/x.jar"}, {"spark.jars.repositories": "https://maven.example.com"}])
def test_a_configuration_that_says_more_of_jars_has_its_way(jars, more):
    keep_jars(delta_package(), [path.as_uri() for path in jars])
    settings = dict(more)
    assert _choose_jars(settings) == ""
    assert settings == more | {"spark.jars.packages": delta_package()}


@pytest.mark.parametrize("line", ["spark.jars /opt/more.jar", "  spark.jars.packages=org.example:more:1"])
def test_spark_defaults_that_name_jars_have_their_way(jars, tmp_path, monkeypatch, line):
    keep_jars(delta_package(), [path.as_uri() for path in jars])
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    (tmp_path / "spark-defaults.conf").write_text(f"# spark.jars\nspark.executor.memory 1g\n{line}\n")
    settings: dict[str, str] = {}
    assert _choose_jars(settings) == ""
    assert settings == {"spark.jars.packages": delta_package()}
    (tmp_path / "spark-defaults.conf").write_text("# spark.jars /opt/more.jar\n")
    settings = {}
    assert _choose_jars(settings) == "" and "spark.jars" in settings


def test_the_cache_holds_names_and_sizes(jars, tmp_path):
    keep_jars(ASKED, [jars[1].as_uri()])
    kept = json.loads((tmp_path / "cache" / "headrace" / "jars.json").read_text())
    assert kept == {ASKED: {str(jars[1]): 3}}
