"""How often one may ask: of the API by user and key, without credentials by address, and of the sign-in form."""

from __future__ import annotations

import pytest
from django.test import Client

from opsconductor import env, throttles
from opsconductor.throttles import KEPT, Buckets, Rate
from tests.access import Program, assert_problem, person, signed_in

pytestmark = pytest.mark.django_db

LIST = "/api/v1/alerts/"
LOGIN = "/accounts/login/"


@pytest.fixture
def clock(monkeypatch):
    """Time that stands still until it is moved."""
    now = [1_000.0]
    monkeypatch.setattr(throttles, "clock", lambda: now[0])

    def move(seconds):
        now[0] += seconds

    return move


@pytest.fixture
def three_at_once(settings, clock):
    settings.API_RATE = (1, 3)
    return clock


# --- buckets ---


def test_a_bucket_gives_its_burst_and_then_its_rate(clock):
    buckets, rate = Buckets(), Rate(0.5, 2)

    assert [buckets.take(("a",), rate) for _ in range(3)] == [0, 0, 2]
    assert buckets.take(("b",), rate) == 0  # somebody else's
    clock(1)
    assert buckets.take(("a",), rate) == 1
    clock(1)
    assert buckets.take(("a",), rate) == 0
    clock(3_600)
    assert [buckets.take(("a",), rate) for _ in range(3)] == [0, 0, 2]  # never more than the burst


def test_asking_takes_nothing(clock):
    buckets, rate = Buckets(), Rate(1, 1)

    assert [buckets.wait(("a",), rate) for _ in range(5)] == [0] * 5
    assert buckets.take(("a",), rate) == 0
    assert buckets.wait(("a",), rate) == 1


def test_memory_is_bounded_and_the_latest_are_kept(clock):
    buckets, rate = Buckets(), Rate(1, 1)

    for number in range(KEPT + 10):
        buckets.take((str(number),), rate)

    assert len(buckets._left) == KEPT
    assert buckets.take((str(KEPT + 9),), rate) == 1


# --- somebody who is known ---


def test_a_key_above_its_rate_is_told_when_to_come_back(three_at_once):
    program = Program(person("operator"))

    assert [program.get(LIST).status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = program.get(LIST)
    body = assert_problem(answer, 429)
    assert body["detail"] == "This API key sends more than 1 requests a second. Try again in 1 s."
    assert answer["Retry-After"] == "1"
    three_at_once(1)
    assert program.get(LIST).status_code == 200


def test_keys_and_sessions_are_counted_apart(three_at_once):
    user = person("operator")
    one, other, session = Program(user), Program(user), signed_in(user)

    for _ in range(4):
        spent = one.get(LIST)

    assert spent.status_code == 429
    assert other.get(LIST).status_code == 200
    assert [session.get(LIST).status_code for _ in range(4)] == [200, 200, 200, 429]


def test_pages_and_schema_of_somebody_above_the_rate_still_open(three_at_once):
    session = signed_in(person("operator"))
    for _ in range(4):
        session.get(LIST)

    assert session.get("/alerts/").status_code == 200


def test_what_is_refused_by_role_is_not_counted(three_at_once):
    program = Program(person("viewer"))

    assert [program.get("/api/v1/raw-events/").status_code for _ in range(5)] == [403] * 5
    assert program.get(LIST).status_code == 200


def test_the_rate_holds_while_valkey_is_away(three_at_once, settings):
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/2"}}
    program = Program(person("operator"))

    assert [program.get(LIST).status_code for _ in range(4)] == [200, 200, 200, 429]


# --- nobody who is known ---


@pytest.mark.parametrize("raw", ["", "ops_aaaaaaaa_wrong"])
def test_requests_without_accepted_credentials_are_counted_by_address(clock, raw):
    stranger, friend = Program(raw=raw), Program(person("operator"))

    answers = [stranger.get(LIST, REMOTE_ADDR="203.0.113.9").status_code for _ in range(throttles.REFUSED.burst + 1)]

    assert answers == [401] * throttles.REFUSED.burst + [429]
    refused = stranger.get(LIST, REMOTE_ADDR="203.0.113.9")
    assert "without accepted credentials" in assert_problem(refused, 429)["detail"]
    assert refused["Retry-After"] == "1"
    assert stranger.get(LIST, REMOTE_ADDR="203.0.113.10").status_code == 401
    assert friend.get(LIST, REMOTE_ADDR="203.0.113.9").status_code == 200


def test_one_network_of_ipv6_is_one_address(clock):
    stranger = Program(raw="")

    for number in range(throttles.REFUSED.burst):
        stranger.get(LIST, REMOTE_ADDR=f"2001:db8::{number:x}")

    assert stranger.get(LIST, REMOTE_ADDR="2001:db8::ffff").status_code == 429
    assert stranger.get(LIST, REMOTE_ADDR="2001:db8:0:1::1").status_code == 401


# --- signing in ---


def guess(name="vera", password="wrong", address="203.0.113.9", path=LOGIN):
    return Client().post(path, {"username": name, "password": password}, REMOTE_ADDR=address)


@pytest.mark.parametrize("path", [LOGIN, "/admin/login/"])
def test_whoever_guesses_a_password_waits(clock, path):
    person("viewer", username="vera", password="correct horse battery")

    answers = [guess(path=path).status_code for _ in range(throttles.FAILED_AS_USER.burst)]
    refused = guess(password="correct horse battery", path=path)

    assert answers == [200] * throttles.FAILED_AS_USER.burst
    assert refused.status_code == 429
    assert refused["Retry-After"] == "30"
    assert "Try again in 30 seconds" in refused.content.decode()
    clock(31)
    assert guess(password="correct horse battery").status_code == 302


def test_others_sign_in_meanwhile(clock):
    person("viewer", username="vera", password="correct horse battery")
    for _ in range(throttles.FAILED_AS_USER.burst):
        guess(name="root")

    assert guess(name="Root").status_code == 429
    assert guess(password="correct horse battery").status_code == 302
    assert guess(name="root", address="203.0.113.10").status_code == 200


def test_guessing_many_names_is_counted_by_address(clock, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    for number in range(throttles.FAILED.burst):
        assert guess(name=f"user{number}").status_code == 200

    assert guess(name="another").status_code == 429


def test_signing_in_that_succeeds_is_not_counted(clock):
    person("viewer", username="vera", password="correct horse battery")

    for _ in range(throttles.FAILED_AS_USER.burst + 2):
        assert guess(password="correct horse battery").status_code == 302


# --- the setting ---


def test_the_setting_is_read_and_a_wrong_one_is_named(monkeypatch):
    monkeypatch.setenv("OPSCONDUCTOR_API_RATE", "20/100")
    assert env.rate("OPSCONDUCTOR_API_RATE", default=(1, 1)) == (20, 100)
    monkeypatch.delenv("OPSCONDUCTOR_API_RATE")
    assert env.rate("OPSCONDUCTOR_API_RATE", default=(50, 1_000)) == (50, 1_000)
    for wrong in ("20", "0/5", "a/b", "1/2/3", "-1/5"):
        monkeypatch.setenv("OPSCONDUCTOR_API_RATE", wrong)
        with pytest.raises(env.SettingError, match="Write how many a second"):
            env.rate("OPSCONDUCTOR_API_RATE", default=(1, 1))
