import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from opsconductor import env
from opsconductor.env import SettingError

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Writes a .env file that is read from then on."""

    def write(content):
        path = tmp_path / ".env"
        path.write_text(content)
        env._file_values.cache_clear()
        monkeypatch.setenv("OPSCONDUCTOR_ENV_FILE", str(path))
        return path

    yield write
    env._file_values.cache_clear()


def test_env_file_knows_comments_quotes_and_export():
    content = """
    # a comment
    PLAIN=a b   # why
    export EXPORTED=1
    SINGLE='it # is \\n literal'
    DOUBLE="two\\nlines \\"quoted\\" \\\\ #no comment" # comment
    EMPTY=
    URL=http://h/#fragment
    """

    assert env.parse_env_file(content) == {
        "PLAIN": "a b",
        "EXPORTED": "1",
        "SINGLE": "it # is \\n literal",
        "DOUBLE": 'two\nlines "quoted" \\ #no comment',
        "EMPTY": "",
        "URL": "http://h/#fragment",
    }


@pytest.mark.parametrize("line", ["novalue", "A B=1", "1A=2", "=1", "A='open", 'A="x" y'])
def test_wrong_line_in_env_file_is_named(line):
    with pytest.raises(SettingError, match=r"\.env, line 2"):
        env.parse_env_file(f"GOOD=1\n{line}\n")


def test_environment_beats_file_and_file_beats_default(file, monkeypatch):
    file("ONE=file\nTWO=file\n")
    monkeypatch.setenv("ONE", "environment")

    assert [env.text(name, "default") for name in ("ONE", "TWO", "THREE")] == [
        "environment",
        "file",
        "default",
    ]


def test_empty_variable_switches_off_the_file(file, monkeypatch):
    file("DATABASE_URL=postgresql://production/x\n")
    monkeypatch.setenv("DATABASE_URL", "")

    assert env.secret("DATABASE_URL") == ""


def test_missing_env_file_that_was_named_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("OPSCONDUCTOR_ENV_FILE", str(tmp_path / "nowhere"))

    with pytest.raises(SettingError, match="there is no such file"):
        env.text("LOG_LEVEL")


def test_secret_comes_from_the_file_that_is_named(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("s3cret\n")
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))

    assert env.secret("SECRET_KEY") == "s3cret"


def test_secret_given_twice_or_unreadable_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(SettingError, match=r"SECRET_KEY_FILE=.*cannot be read"):
        env.secret("SECRET_KEY")

    monkeypatch.setenv("SECRET_KEY", "x")
    with pytest.raises(SettingError, match="Keep one") as caught:
        env.secret("SECRET_KEY")
    assert "=x" not in str(caught.value)


def test_typed_values_name_the_variable_when_wrong(monkeypatch):
    monkeypatch.setenv("X", "perhaps")

    with pytest.raises(SettingError, match="X=perhaps is neither yes nor no"):
        env.flag("X")
    with pytest.raises(SettingError, match="X=perhaps is not a whole number"):
        env.number("X", default=1, minimum=0, maximum=2)
    with pytest.raises(SettingError, match=r"X=perhaps is not known\. Use one of: a, b"):
        env.choice("X", ["a", "b"], default="a")

    monkeypatch.setenv("X", "7")
    with pytest.raises(SettingError, match="X=7 is outside 0 to 2"):
        env.number("X", default=1, minimum=0, maximum=2)


def test_trap_addresses(monkeypatch):
    monkeypatch.setenv("X", "127.0.0.1:1162, [::1]:162")

    assert env.addresses("X") == [("127.0.0.1", 1162), ("::1", 162)]


@pytest.mark.parametrize("value", ["1162", "localhost:1162", "::1:162", "[127.0.0.1]:1", "127.0.0.1:0", "1.2.3.4:x"])
def test_wrong_trap_address_is_refused(monkeypatch, value):
    monkeypatch.setenv("X", value)

    with pytest.raises(SettingError, match=r"X: .* is not an address and port"):
        env.addresses("X")


def test_unknown_variables_are_told_with_a_proposal(monkeypatch):
    monkeypatch.setenv("OPSCONDUCTOR_TRAP_LISTENS", "x")

    assert env.unknown() == [
        "OPSCONDUCTOR_TRAP_LISTENS is not a known setting and is ignored. Is OPSCONDUCTOR_TRAP_LISTEN meant?"
    ]


def test_database_url_with_everything(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://u%40x:p%2Fw@[::1]:5433/na%20me?sslmode=require")

    entry = env.database(default="")

    assert entry.pop("OPTIONS") == {"sslmode": "require"}
    assert entry == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "na me",
        "USER": "u@x",
        "PASSWORD": "p/w",
        "HOST": "::1",
        "PORT": "5433",
    }


def test_database_url_of_a_unix_socket(monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)

    entry = env.database(default="postgresql://ops@/ops?host=/a%20b/run")

    assert (entry["HOST"], entry["USER"], entry["NAME"], entry["PORT"]) == ("/a b/run", "ops", "ops", "")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u:hidden@h/n", "needs PostgreSQL"),
        ("sqlite:///x", "needs PostgreSQL"),
        ("nonsense", "needs PostgreSQL"),
        ("postgresql://u:hidden@h:port/n", "not a URL"),
        ("postgresql://u:hidden@h", "names no database"),
        ("postgresql://u:hidden@h/n?sslmod=require", "unknown option sslmod. Is sslmode meant"),
    ],
)
def test_wrong_database_url_is_refused_without_its_password(monkeypatch, url, words):
    monkeypatch.setenv("DATABASE_URL", url)

    with pytest.raises(SettingError, match=words) as caught:
        env.database(default="")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "second", "broker"),
    [
        ("redis://h:6379", "redis://h:6379/2", "redis://h:6379/0"),
        ("redis://:p@h:6379/3", "redis://:p@h:6379/5", "redis://:p@h:6379/3"),
        ("rediss://h/1", "rediss://h/3", "rediss://h/1?ssl_cert_reqs=required"),
        ("unix:///a/b.sock", "unix:///a/b.sock?db=2", "redis+socket:///a/b.sock?virtual_host=0"),
        ("unix:///a/b.sock?db=4", "unix:///a/b.sock?db=6", "redis+socket:///a/b.sock?virtual_host=4"),
    ],
)
def test_redis_url_in_its_forms(monkeypatch, url, second, broker):
    monkeypatch.setenv("REDIS_URL", url)

    result = env.redis(default="")

    assert (env.redis_db(result, 2), env.celery_broker(result)) == (second, broker)


@pytest.mark.parametrize("url", ["http://h", "redis://", "unix://", "redis://h:x/0", "redis://h/zero", "redis://h/14"])
def test_wrong_redis_url_is_refused(monkeypatch, url):
    monkeypatch.setenv("REDIS_URL", url)

    with pytest.raises(SettingError, match="REDIS_URL"):
        env.redis(default="")


def test_relative_var_counts_from_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPSCONDUCTOR_VAR", "here")

    assert env.var_dir() == tmp_path / "here"


def test_var_of_the_env_file_counts_from_the_project(file, monkeypatch, tmp_path):
    file("OPSCONDUCTOR_VAR=there\n")
    monkeypatch.delenv("OPSCONDUCTOR_VAR")
    monkeypatch.chdir(tmp_path)

    assert env.var_dir() == env.BASE_DIR / "there"


def test_keys_are_generated_once_and_closed_to_others(monkeypatch, tmp_path):
    first = (env.secret_key(tmp_path / "var"), env.encryption_keys(tmp_path / "var"))
    second = (env.secret_key(tmp_path / "var"), env.encryption_keys(tmp_path / "var"))

    assert first == second
    assert len(first[0]) >= 50
    assert len(first[1]) == 1
    for name in ("secret_key", "encryption_keys"):
        assert stat.S_IMODE((tmp_path / "var" / name).stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path / "var")) == ["encryption_keys", "secret_key"]


def test_processes_that_start_together_agree_on_the_key(tmp_path):
    code = "from opsconductor import env; print(env.secret_key(env.var_dir()))"
    command = [sys.executable, "-c", code]

    environment = {**os.environ, "OPSCONDUCTOR_VAR": str(tmp_path / "var")}
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=env.BASE_DIR, env=environment) for _ in range(6)]
    keys = {process.communicate()[0] for process in running}

    assert len(keys) == 1


def test_encryption_keys_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("OPSCONDUCTOR_ENCRYPTION_KEYS", f"{KEY}, {KEY}")

    assert env.encryption_keys(tmp_path) == [KEY, KEY]


def test_wrong_encryption_key_is_counted_and_not_shown(monkeypatch, tmp_path):
    monkeypatch.setenv("OPSCONDUCTOR_ENCRYPTION_KEYS", f"{KEY},tooshort")

    with pytest.raises(SettingError, match="key 2 is not a Fernet key") as caught:
        env.encryption_keys(tmp_path)
    assert "tooshort" not in str(caught.value)


def test_emptied_key_file_is_an_error_and_not_replaced(tmp_path):
    (tmp_path / "encryption_keys").write_text("")

    with pytest.raises(SettingError, match=r"is empty\. Restore it"):
        env.encryption_keys(tmp_path)
    assert Path(tmp_path / "encryption_keys").read_text() == ""


def test_hosts_are_names_and_addresses_without_scheme_or_port(monkeypatch):
    monkeypatch.setenv("ALLOWED_HOSTS", "noc.example.net, .example.net,10.0.0.5,[::1],*")
    assert env.hosts("ALLOWED_HOSTS") == ["noc.example.net", ".example.net", "10.0.0.5", "[::1]", "*"]

    for wrong in ("http://foo", "bar baz", "foo:8000"):
        monkeypatch.setenv("ALLOWED_HOSTS", wrong)
        with pytest.raises(env.SettingError, match="is not a host"):
            env.hosts("ALLOWED_HOSTS")
