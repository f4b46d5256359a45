"""Where masters and workers listen."""

import json
import socket
from pathlib import Path

import psutil
import pytest

from bohb_nas.engine import cluster
from bohb_nas.engine.cluster import Address, Leader, answering_ip, listening_ip, published
from bohb_nas.errors import UsageError
from bohb_nas.store.study_dir import StudyDir


def of(family: socket.AddressFamily, address: str) -> object:
    return type("Address", (), {"family": family, "address": address})()


@pytest.fixture
def interfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "lo": [of(socket.AF_INET, "127.0.0.1")],
        "ib0": [of(socket.AF_INET6, "fe80::1"), of(socket.AF_INET, "10.1.0.7")],
        "ib1": [of(socket.AF_PACKET, "00:11")],
    }
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)


@pytest.mark.usefixtures("interfaces")
@pytest.mark.parametrize(("where", "ip"), [("loopback", "127.0.0.1"), ("ib0", "10.1.0.7"), ("10.1.0.7", "10.1.0.7"), ("lo", "127.0.0.1")])
def test_where_to_listen(where: str, ip: str) -> None:
    assert listening_ip(where) == ip


@pytest.mark.usefixtures("interfaces")
@pytest.mark.parametrize(("where", "said"), [("eth7", r"ib0 \(fe80::1, 10.1.0.7\)"), ("10.1.0.8", "accepted are"), ("ib1", "no address")])
def test_nowhere_to_listen(where: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        listening_ip(where)


@pytest.mark.parametrize(
    ("named", "route", "found"),
    [
        (["10.0.0.5"], "192.168.1.2", "10.0.0.5"),
        (["127.0.1.1"], "192.168.1.2", "192.168.1.2"),
        ([], "192.168.1.2", "192.168.1.2"),
        (["127.0.1.1"], "127.0.0.1", None),
    ],
)
def test_the_address_by_which_others_know_this_machine(
    monkeypatch: pytest.MonkeyPatch, named: list[str], route: str, found: str | None
) -> None:
    def names(*arguments: object, **more: object) -> list[tuple[object, object, object, object, tuple[str, int]]]:
        if not named:
            raise socket.gaierror("unknown")
        return [(None, None, None, None, (ip, 0)) for ip in named]

    monkeypatch.setattr(socket, "getaddrinfo", names)
    monkeypatch.setattr(cluster, "get_ip", lambda *target: route)
    if found is None:
        with pytest.raises(UsageError, match="name the interface"):
            listening_ip("host")
    else:
        assert listening_ip("host") == found


def test_a_worker_answers_from_where_it_reaches_its_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def route(*target: object) -> str:
        asked.append(target)
        return "10.1.0.9"

    monkeypatch.setattr(cluster, "get_ip", route)
    assert answering_ip(Leader(address="tls://127.0.0.1:4000", term=1, host="a")) == "127.0.0.1"
    assert answering_ip(Leader(address="tls://10.1.0.7:4001", term=1, host="b")) == "10.1.0.9"
    assert asked == [("10.1.0.7", 4001)]


def test_a_leader_on_the_loopback_of_another_machine_cannot_be_reached() -> None:
    assert not Leader(address="tls://127.0.0.1:4000", term=1, host="elsewhere").reachable
    assert Leader(address="tls://127.0.0.1:4000", term=1, host=socket.gethostname()).reachable
    assert Leader(address="tls://10.1.0.7:4000", term=1, host="elsewhere").reachable
    assert Leader(address="tls://[fe80::1]:4000", term=1, host="elsewhere").ip == "fe80::1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"address": 3, "term": 1}',
        '{"address": "tcp://10.0.0.1:2", "term": 1}',
        '{"address": "tls://", "term": 1}',
        '{"address": "tls://10.0.0.1:2"}',
        '{"address": "tls://10.0.0.1:2", "term": "x"}',
        "[" * 100_000,
    ],
)
def test_what_is_no_address_of_a_leader(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scheduler.json"
    path.write_text(text)
    assert published(path) is None
    assert published(tmp_path / "absent") is None
    path.write_text(json.dumps({"address": "tls://10.0.0.1:2", "term": 4, "host": "n1"}))
    assert published(path) == Leader(address="tls://10.0.0.1:2", term=4, host="n1")


@pytest.mark.parametrize(("address", "term"), [("tls://127.0.0.1:2", 1), ("tls://127.0.0.1:1", 2)])
def test_the_address_of_another_master_is_not_withdrawn(study: StudyDir, address: str, term: int) -> None:
    """The same term, at another address, is that of another study in the place of the master's own."""
    own = Address(study, "tls://127.0.0.1:1", 1)
    Address(study, address, term)
    own.withdraw()
    assert published(study.scheduler_json) is not None
    assert not study.last_led.exists()
