"""Two machines, as two network namespaces with host names of their own, that share a study's directory."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from whole_studies import attempts, check_whole, count, lines, program, search, start, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
PARTITION_S = 20.0
IPS = ("10.77.0.1", "10.77.0.2")


@dataclass(frozen=True)
class Hosts:
    """Two namespaces joined by a cable."""

    names: tuple[str, str]

    def on(self, k: int, command: list[str]) -> list[str]:
        """The command as it runs on a host."""
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$1"; shift; exec "$@"', "sh", f"node{k}"]
        return ["ip", "netns", "exec", self.names[k], *named, *command]

    def cable(self, state: str) -> None:
        """Pulls it out (down) or puts it in (up)."""
        for k in (0, 1):
            subprocess.run(["ip", "-n", self.names[k], "link", "set", "cable", state], check=True)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    names = (f"bohb{os.getpid()}a", f"bohb{os.getpid()}b")
    if shutil.which("ip") is None or os.geteuid() != 0 or subprocess.run(["ip", "netns", "add", names[0]], check=False).returncode:
        pytest.skip("needs iproute2 and the right to make network namespaces")
    try:
        subprocess.run(["ip", "netns", "add", names[1]], check=True)
        pair = ["type", "veth", "peer", "name", "cable", "netns", names[1]]
        subprocess.run(["ip", "-n", names[0], "link", "add", "cable", *pair], check=True)
        for name, ip in zip(names, IPS, strict=True):
            subprocess.run(["ip", "-n", name, "addr", "add", f"{ip}/24", "dev", "cable"], check=True)
            for link in ("lo", "cable"):
                subprocess.run(["ip", "-n", name, "link", "set", link, "up"], check=True)
        yield Hosts(names)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


def told_by(study: Path) -> set[str]:
    return {line["result"]["details"]["engine"]["host"] for line in lines(study) if "result" in line}


def listening(hosts: Hosts, k: int) -> set[str]:
    """Addresses, beside loopback, on which anything listens on a host."""
    shown = subprocess.run(hosts.on(k, ["ss", "-Hltn"]), capture_output=True, text=True, check=True).stdout
    return {row.split()[3].rpartition(":")[0] for row in shown.splitlines()} - {"127.0.0.1"}


def test_a_network_that_is_parted_for_a_while_costs_nothing(study: Path, tmp_path: Path, hosts: Hosts) -> None:
    options = ["--trials", "90", "--workers", "1", "--listen", IPS[0]]
    first = start(hosts.on(0, search(study, *options, slow=0.15)), tmp_path / "first.log")
    wait_until(lambda: count(study, "tell") >= 2)
    second = start(hosts.on(1, program("worker", str(study))), tmp_path / "second.log")
    wait_until(lambda: told_by(study) == {"node0", "node1"}, what="a trial on each host")
    assert (listening(hosts, 0), listening(hosts, 1)) == ({IPS[0]}, {IPS[1]}), "where they were told to, and nowhere else"
    hosts.cable("down")
    told = count(study, "tell")
    time.sleep(PARTITION_S)
    assert count(study, "tell") > told, "the master's own side goes on"
    hosts.cable("up")
    n_lines = len(lines(study))
    wait_until(lambda: any(line["result"]["details"]["engine"]["host"] == "node1" for line in lines(study)[n_lines:] if "result" in line))
    assert first.wait(timeout=250) == 0, (tmp_path / "first.log").read_text()
    assert second.wait(timeout=60) == 0, (tmp_path / "second.log").read_text()
    state = check_whole(study, trials=90)
    assert {r.status.value for r in state.results.values()} == {"ok"}
    assert set(attempts(study).values()) == {1}, "what node1 trained meanwhile was not trained again"
    assert count(study, "lead") == 1


def test_a_worker_of_another_host_takes_over_and_the_first_host_joins_it(study: Path, tmp_path: Path, hosts: Hosts) -> None:
    options = ["--trials", "40", "--workers", "1", "--listen", "cable"]
    first = start(hosts.on(0, search(study, *options, slow=0.1)), tmp_path / "first.log")
    wait_until(lambda: count(study, "tell") >= 2)
    second = start(hosts.on(1, program("worker", str(study))), tmp_path / "second.log")
    wait_until(lambda: told_by(study) == {"node0", "node1"})
    first.kill()
    first.wait()
    wait_until(lambda: count(study, "lead") == 2, what="a takeover")
    assert second.wait(timeout=250) == 0, (tmp_path / "second.log").read_text()
    check_whole(study, trials=40)
    n_first = next(i for i, line in enumerate(lines(study)) if line["event"] == "lead" and line["term"] == 2)
    later = {line["result"]["details"]["engine"]["host"] for line in lines(study)[n_first:] if "result" in line}
    assert later == {"node0", "node1"}, "the first host's worker outlived its master and joined the other's"
    assert set(attempts(study).values()) == {1}


def test_a_worker_says_why_it_cannot_reach_a_master_of_another_machine(study: Path, tmp_path: Path, hosts: Hosts) -> None:
    first = start(hosts.on(0, search(study, "--trials", "1000", "--workers", "1", slow=0.3)), tmp_path / "first.log")
    wait_until(lambda: count(study, "ask") >= 1)
    left = subprocess.run(hosts.on(1, program("worker", str(study), "--wait", "3s")), capture_output=True, text=True, check=False)
    assert left.returncode == 0
    assert "the master on node0 listens on its own loopback alone" in left.stderr
    assert f"bohb-nas run {study} --listen host" in left.stderr
    first.terminate()
    first.wait(timeout=60)
