"""Secrets are looked up when Spark starts, and are nowhere else."""

import pytest

from headrace.config import load_config
from headrace.errors import ConfigError
from headrace.secrets import is_secret, revealed

KEY = "spark.hadoop.fs.s3a.secret.key"


@pytest.mark.parametrize(
    "key",
    [KEY, "spark.hadoop.fs.s3a.access.key", "spark.hadoop.fs.azure.account.key.me.dfs.core.windows.net", "spark.ssl.keyPassword",
     "spark.hadoop.fs.s3a.session.token", "spark.hadoop.fs.azure.sas.key.x", "spark.hadoop.fs.s3a.encryption.key",
     "spark.hadoop.fs.azure.account.key.dataproviders.dfs.core.windows.net", "spark.hadoop.fs.s3a.server-side-encryption.key",
     "spark.executorEnv.AZURE_STORAGE_KEY", "spark.executorEnv.AZURE_STORAGE_CONNECTION_STRING", "spark.executorEnv.API_KEY",
     "spark.executorEnv.DB_PWD"],
)  # fmt: skip
def test_names_of_secrets_are_known(key):
    assert is_secret(key)


@pytest.mark.parametrize(
    "key",
    ["spark.sql.shuffle.partitions", "spark.hadoop.fs.s3a.aws.credentials.provider", "spark.hadoop.google.cloud.auth.service.account.json.keyfile",
     "spark.hadoop.hadoop.security.credential.provider.path", "spark.hadoop.fs.s3a.endpoint",
     "spark.hadoop.fs.azure.sas.token.provider.type.me.dfs.core.windows.net", "spark.kubernetes.driver.secrets.s3"],
)  # fmt: skip
def test_where_a_secret_comes_from_is_none(key):
    assert not is_secret(key)


def test_a_secret_written_out_is_refused_and_not_repeated():
    with pytest.raises(ConfigError, match="written out") as caught:
        load_config(settings=[f"spark.conf={{{KEY}: hunter2}}"])
    assert caught.value.exit_code == 2
    assert "hunter2" not in str(caught.value)


def test_the_configuration_keeps_the_reference_and_the_session_gets_the_value(monkeypatch):
    monkeypatch.setenv("MY_SECRET", "hunter2")
    config = load_config(settings=[f"spark.conf={{{KEY}: 'env:MY_SECRET'}}"])
    assert "hunter2" not in repr(config) + repr(config.settings)
    assert revealed(config.spark.conf) == {KEY: "hunter2"}


def test_a_file_holds_the_secret_without_the_line_end(tmp_path):
    (tmp_path / "key").write_text("hunter2\n")
    assert revealed({KEY: f"file:{tmp_path}/key"}) == {KEY: "hunter2"}


def test_a_file_uri_of_a_setting_that_is_no_secret_stays_a_uri():
    conf = {"spark.eventLog.dir": "file:/var/log/spark", "spark.sql.warehouse.dir": "file:///w"}
    assert revealed(conf) == conf


def test_any_setting_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("S3_ENDPOINT", "https://s3.example")
    assert revealed({"spark.hadoop.fs.s3a.endpoint": "env:S3_ENDPOINT"}) == {
        "spark.hadoop.fs.s3a.endpoint": "https://s3.example"
    }


@pytest.mark.parametrize(
    ("reference", "said"), [("env:NOT_SET", "no variable NOT_SET"), ("file:/no/such", "FileNotFound")]
)
def test_a_secret_that_is_not_there_is_an_error_of_the_configuration(reference, said):
    with pytest.raises(ConfigError, match=said):
        revealed({KEY: reference})


def test_an_empty_secret_is_an_error(monkeypatch):
    monkeypatch.setenv("MY_SECRET", "")
    with pytest.raises(ConfigError, match="nothing at env:MY_SECRET"):
        revealed({KEY: "env:MY_SECRET"})


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(ConfigError, match="a password in the address") as caught:
        load_config(settings=["root=s3://key:hunter2@bucket/tables"])
    assert "hunter2" not in str(caught.value)


def test_the_container_of_an_azure_account_is_no_password():
    root = "abfss://container@account.dfs.core.windows.net/tables"
    assert load_config(settings=[f"root={root}"]).root == root


@pytest.mark.parametrize(
    "setting",
    [f"spark.conf={{{KEY}: 123456789}}", f"spark.conf={{{KEY}: [hunter2]}}", "spark.conf=[hunter2]", f"spark.conf={{{KEY}: hunter2",
     f"spark.conf.{KEY}=hunter2", f"spark={KEY}=hunter2"],
)  # fmt: skip
def test_no_complaint_about_the_session_shows_a_value(setting):
    with pytest.raises(ConfigError) as caught:
        load_config(settings=[setting])
    assert not {"hunter2", "123456789"} & set(str(caught.value).replace("'", " ").split()), caught.value


def test_one_setting_of_spark_is_set_by_its_whole_name():
    config = load_config(settings=["spark.conf.spark.sql.ansi.enabled=true", f"spark.conf.{KEY}=env:X"])
    assert config.spark.conf == {"spark.sql.ansi.enabled": "true", KEY: "env:X"}


def test_a_secret_typed_beside_its_reference_is_refused_and_not_repeated():
    with pytest.raises(ConfigError) as refused:
        load_config(settings=[f"spark.conf.{KEY}=env: HUNTER2"])
    with pytest.raises(ConfigError) as unsaid:
        load_config(settings=[f"spark.conf.{KEY} HUNTER2"])
    with pytest.raises(ConfigError, match=r"right after env: in spark\.app\.name") as misspelt:
        load_config(settings=["spark.conf.spark.app.name=env: HUNTER2"])
    assert "HUNTER2" not in str(refused.value) + str(unsaid.value) + str(misspelt.value)
    assert f"--set spark.conf.{KEY}" in str(unsaid.value)
