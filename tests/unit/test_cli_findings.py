"""How findings are judged, apart from the servers that they are about."""

import base64
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.keys import KeyRing
from workers.cli.doctor import broker, clock, database, keys
from workers.cli.doctor.findings import Finding, Level, fault, faults, note, ok, warning
from workers.cli.doctor.plans import Scan, find_scans
from workers.settings import DatabaseSettings, KeySettings

WELL = {"version": "18.1 (Debian)", "isolation": "read committed", "is_read_only": False, "is_durable": True}


def levels(findings: list[Finding]) -> list[Level]:
    return [finding.level for finding in findings]


def node(kind: str, table: str = "users", rows: float = 7, *, schema: str = "app") -> dict[str, Any]:
    return {"Node Type": kind, "Schema": schema, "Relation Name": table, "Plan Rows": rows}


def test_only_faults_count() -> None:
    assert faults([ok("a"), note("b"), warning("c", "d"), fault("e", "f"), fault("g", "h")]) == 2


def test_a_scan_is_found_however_deep() -> None:
    probe = {**node("Index Scan"), "Index Cond": "(user_id = 7)"}
    plan = {"Node Type": "Hash Join", "Plans": [{"Node Type": "Hash", "Plans": [node("Seq Scan")]}, probe]}
    assert find_scans(plan) == [Scan(table="app.users", rows=7, repeated=False)]


def test_an_index_that_is_walked_whole_is_a_scan_too() -> None:
    assert find_scans(node("Index Only Scan", "factors")) == [Scan(table="app.factors", rows=7, repeated=False)]


def test_our_own_tables_are_our_own_affair() -> None:
    assert find_scans(node("Seq Scan", "worker", schema="portcullis")) == []


def test_a_scan_for_each_member_is_told_from_one_for_all() -> None:
    limit = {"Node Type": "Limit", "Parent Relationship": "SubPlan", "Subplan Name": "SubPlan 1", "Plans": [node("Seq Scan")]}
    plan = {**node("Index Scan"), "Index Cond": "x", "Plans": [limit]}
    assert [scan.repeated for scan in find_scans(plan)] == [True]
    assert [scan.repeated for scan in find_scans({**plan, "Filter": "(hashed SubPlan 1)"})] == [False]
    assert [scan.repeated for scan in find_scans({**plan, "Filter": "(hashed SubPlan 10)"})] == [True]
    inner = {**node("Seq Scan"), "Parent Relationship": "Inner"}
    assert [scan.repeated for scan in find_scans({"Node Type": "Nested Loop", "Plans": [inner]})] == [True]
    assert [scan.repeated for scan in find_scans({"Node Type": "Hash Join", "Plans": [inner]})] == [False]


@pytest.mark.parametrize(
    ("offsets", "level"),
    [
        ({"PostgreSQL": 0.2, "Redis": -0.3}, Level.OK),
        ({"PostgreSQL": 0.9, "Redis": -0.9}, Level.WARNING),
        ({"PostgreSQL": 120.0}, Level.WARNING),
        ({"Redis": -1.5}, Level.WARNING),
        ({}, Level.NOTE),
    ],
)
def test_clocks_may_be_a_second_apart(offsets: dict[str, float], level: Level) -> None:
    assert levels(clock.judge(offsets)) == [level]


async def test_a_clock_is_measured_without_its_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([100.0, 104.0])
    monkeypatch.setattr(clock, "time", SimpleNamespace(time=lambda: next(moments)))

    async def ask() -> float:
        return 132.0

    assert await clock.measure(ask) == 30.0


def ring(*secrets: bytes) -> KeySettings:
    text = ",".join(f"k{place}:{base64.b64encode(secret).decode()}" for place, secret in enumerate(secrets))
    assert KeyRing.parse(text)
    return KeySettings.load({"PORTCULLIS_KEYS": text})


def test_a_ring_says_who_signs_and_who_still_verifies() -> None:
    [finding] = keys.check(ring(bytes(range(32)), bytes(range(32, 64))))
    assert finding.level is Level.OK
    assert "2 in the ring: k0 signs; k1 still verify" in finding.what


def test_a_key_that_is_no_random_number_is_a_fault() -> None:
    assert levels(keys.check(ring(b"x" * 32))) == [Level.OK, Level.FAULT]


def test_one_key_under_two_names_is_a_fault() -> None:
    assert levels(keys.check(ring(bytes(range(32)), bytes(range(32))))) == [Level.OK, Level.FAULT]


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"redis_version": "7.2.4"}, [Level.OK]),
        ({"redis_version": "6.2.0"}, [Level.OK]),
        ({"redis_version": "6.0.16"}, [Level.FAULT]),
        ({"redis_version": "5.0.0", "valkey_version": "8.1.8"}, [Level.OK]),
        ({"redis_version": "7.2.4", "cluster_enabled": 1}, [Level.OK, Level.FAULT]),
        ({"redis_version": "7.2.4", "role": "slave"}, [Level.OK, Level.FAULT]),
    ],
)
def test_a_broker_is_new_enough_and_takes_writes(info: dict[str, Any], expected: list[Level]) -> None:
    assert levels(broker._server(info)) == expected


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"maxmemory_policy": "noeviction", "maxmemory": 10}, Level.OK),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 10}, Level.FAULT),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 0}, Level.WARNING),
    ],
)
def test_a_broker_evicts_nothing(info: dict[str, Any], expected: Level) -> None:
    assert levels(broker._memory(info)) == [expected]


def test_the_way_to_a_broker_elsewhere_is_encrypted() -> None:
    assert levels(broker._way("redis://redis.example.com")) == [Level.WARNING]
    assert broker._way("rediss://redis.example.com") == broker._way("redis://127.0.0.1") == broker._way("unix:///run/redis.sock") == []


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({}, [Level.OK]),
        ({"isolation": "repeatable read"}, [Level.FAULT]),
        ({"is_read_only": True}, [Level.OK, Level.FAULT]),
        ({"is_durable": False}, [Level.OK, Level.WARNING]),
    ],
)
def test_a_server_is_read_committed_writable_and_durable(server: dict[str, Any], expected: list[Level]) -> None:
    assert levels(database._server({**WELL, **server})) == expected


@pytest.mark.parametrize(("major", "level"), [(13, Level.FAULT), (14, Level.OK), (18, Level.OK), (19, Level.WARNING)])
def test_a_server_is_of_a_version_that_was_tried(major: int, level: Level) -> None:
    settings = DatabaseSettings.load({"DATABASE_URL": "postgresql://me:canary-7f3a@db/app"})
    finding = database._version(major, f"{major}.1 (Debian)", settings)
    assert finding.level is level
    assert finding.what.startswith(f"PostgreSQL {major}.1 at db/app")
