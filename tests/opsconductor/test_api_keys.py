"""API keys: made, used, restricted, revoked."""

import hashlib
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from opsconductor.auth import user_for_key
from opsconductor.models import ApiKey
from tests.access import Program, assert_problem, person

pytestmark = pytest.mark.django_db

LIST = "/api/v1/alerts/"


@pytest.fixture
def user():
    return person("operator")


def create(*args):
    out, err = StringIO(), StringIO()
    call_command("create_api_key", *args, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


# --- create_api_key ---


def test_the_command_writes_only_the_key_to_stdout(user):
    out, err = create("operator")

    key = ApiKey.objects.get()
    prefix, secret = out.strip().split("_", 2)[1:]
    assert out == f"ops_{key.prefix}_{secret}\n"
    assert prefix == key.prefix
    assert key.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert key.scopes == []
    assert "operator" in err
    assert secret not in err
    assert Program(raw=out.strip()).get(LIST).status_code == 200


def test_the_command_takes_scopes_networks_expiry_and_name(user):
    create(
        "operator",
        "--scopes",
        "read, act",
        "--networks",
        "10.1.2.3/8,::1",
        "--expires",
        "90d",
        "--name",
        "karma",
    )

    key = ApiKey.objects.get()
    assert key.scopes == ["read", "act"]
    assert key.networks == ["10.0.0.0/8", "::1/128"]
    assert timedelta(days=89) < key.expires_at - timezone.now() <= timedelta(days=90)
    assert key.name == "karma"


def test_the_command_takes_a_date(user):
    create("operator", "--expires", "2999-01-31T12:00")

    assert ApiKey.objects.get().expires_at.isoformat() == "2999-01-31T12:00:00+00:00"


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["stranger"], "There is no user “stranger”"),
        (
            ["operator", "--scopes", "read,write"],
            "“write” is not a scope. Allowed: read, events, act, admin.",
        ),
        (["operator", "--networks", "10.1.2.300/8"], "“10.1.2.300/8” is not a network"),
        (["operator", "--expires", "soon"], "neither a time"),
        (["operator", "--expires", "2001-01-01"], "has passed"),
        (["operator", "--expires", "0d"], "has passed"),
    ],
)
def test_the_command_refuses_with_a_sentence(user, args, sentence):
    with pytest.raises(CommandError, match=sentence.replace(".", r"\.")):
        create(*args)
    assert not ApiKey.objects.exists()


# --- use ---


def test_a_key_speaks_for_its_user(user):
    program = Program(user)

    assert user_for_key(program.raw, "127.0.0.1") == (user, program.key)
    assert program.get(LIST).status_code == 200


@pytest.mark.parametrize("word", ["Api-Key", "api-key", "API-KEY"])
def test_the_word_before_the_key_is_known_in_any_case(user, word):
    raw = Program(user).raw

    assert Client().get(LIST, headers={"Authorization": f"{word} {raw}"}).status_code == 200


@pytest.mark.parametrize("change", ["last character", "other prefix", "no prefix", "hash", "empty", "zero", "long"])
def test_a_wrong_key_is_refused(user, change):
    program = Program(user)
    raw = {
        "last character": program.raw[:-1] + ("a" if program.raw[-1] != "a" else "b"),
        "other prefix": program.raw.replace(program.key.prefix, "00000000"),
        "no prefix": program.raw.removeprefix("ops_"),
        "hash": f"ops_{program.key.prefix}_{program.key.secret_sha256}",
        "empty": f"ops_{program.key.prefix}_",
        "zero": program.raw + "\0",
        "long": program.raw + "a" * 5000,
    }[change]

    assert user_for_key(raw, "127.0.0.1") is None
    answer = Client().get(LIST, headers={"Authorization": f"Api-Key {raw}"})
    assert_problem(answer, 401)
    assert answer["WWW-Authenticate"] == "Api-Key"


def test_other_kinds_of_credentials_are_not_mistaken_for_keys(user):
    for header in ("Bearer x", "Basic eDp5", "Api-Key", "", "Api-Keyops_a_b"):
        assert_problem(Client().get(LIST, headers={"Authorization": header}), 401)


def test_expired_and_revoked_keys_and_keys_of_inactive_users_are_refused(user):
    now = timezone.now()
    for fields in ({"expires_at": now}, {"revoked_at": now}):
        program = Program(user)
        ApiKey.objects.filter(pk=program.key.pk).update(**fields)
        assert_problem(program.get(LIST), 401)

    program = Program(user, expires_at=now + timedelta(hours=1))
    assert program.get(LIST).status_code == 200
    user.is_active = False
    user.save()
    assert_problem(program.get(LIST), 401)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::1", True),
        ("11.1.2.3", False),
        ("", False),
        (None, False),
        ("unix", False),
    ],
)
def test_a_key_is_accepted_from_its_networks_only(user, address, allowed):
    program = Program(user, networks=["10.0.0.0/8", "2001:db8::/32"])

    assert (user_for_key(program.raw, address) is not None) == allowed
    assert program.get(LIST, REMOTE_ADDR=address or "").status_code == (200 if allowed else 401)


def test_a_forwarded_address_is_not_believed(user):
    program = Program(user, networks=["10.0.0.0/8"])

    assert program.get(LIST, HTTP_X_FORWARDED_FOR="10.1.2.3", REMOTE_ADDR="192.0.2.1").status_code == 401


def test_the_last_use_is_noted_once_a_minute(user):
    program = Program(user)
    program.get(LIST)
    first = ApiKey.objects.get().last_used_at
    assert first is not None

    program.get(LIST)
    assert ApiKey.objects.get().last_used_at == first

    ApiKey.objects.update(last_used_at=first - timedelta(minutes=2))
    program.get(LIST)
    assert ApiKey.objects.get().last_used_at >= first


def test_a_database_that_only_reads_still_answers_readers(user, caplog):
    program = Program(user)
    connection.check_constraints()
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")

    assert program.get(LIST).status_code == 200
    assert "could not be noted" in caplog.text


def test_the_secret_is_in_no_answer(user):
    program = Program(user, name="mine")
    secret = program.raw.split("_", 2)[2]

    for path in (LIST, "/api/v1/schema/", "/api/v1/nothing/"):
        assert secret not in program.get(path).content.decode()
