"""By which key masters and workers of a study know each other."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from distributed.security import Security

from bohb_nas.engine import keys
from bohb_nas.engine.cluster import security
from bohb_nas.engine.keys import make_keys
from bohb_nas.store.study_dir import StudyDir


def pems(study: StudyDir) -> dict[str, str]:
    return {path.name: path.read_text() for path in study.credentials}


def made(study: StudyDir) -> dict[str, str]:
    """What is there once keys are made; key and certificate are loaded, and a key of another certificate would be refused."""
    make_keys(study)
    security(study).get_connection_args("client")
    return pems(study)


@pytest.mark.parametrize("damage", [Path.unlink, Path.touch, lambda path: path.write_text("no key")])
@pytest.mark.parametrize(("lost", "stay"), [("key.pem", set()), ("cert.pem", {"key.pem"})])
def test_of_key_and_certificate_neither_stays_without_the_other(study: StudyDir, damage: object, lost: str, stay: set[str]) -> None:
    before = made(study)
    assert made(study) == before
    (study.tls / lost).write_text("")
    damage(study.tls / lost)  # type: ignore[operator]
    after = made(study)
    assert {name for name in after if after[name] == before[name]} == stay


def test_a_certificate_of_another_key_is_replaced(study: StudyDir, tmp_path: Path) -> None:
    other = StudyDir(tmp_path / "other")
    other.make()
    before = made(study)
    shutil.copy(study.credentials[0], other.credentials[0])
    make_keys(other)
    other.credentials[0].unlink()
    make_keys(other)
    shutil.copy(other.credentials[1], study.credentials[1])
    after = made(study)
    assert after["key.pem"] == before["key.pem"]
    assert after["cert.pem"] != other.credentials[1].read_text()


def test_a_key_is_valid_as_long_as_its_study_lasts_and_whatever_the_clocks_say(study: StudyDir) -> None:
    """That of an earlier version, for a year from the second in which it was made, stays; it has another certificate."""
    earlier = Security.temporary()
    for path, text in zip(study.credentials, (earlier.tls_worker_key, earlier.tls_worker_cert), strict=True):
        path.write_text(text)
    after = made(study)
    assert after["key.pem"] == earlier.tls_worker_key
    cert = x509.load_pem_x509_certificate(after["cert.pem"].encode())
    assert cert.not_valid_before_utc < datetime(2000, 1, 1, tzinfo=UTC)
    assert cert.not_valid_after_utc > datetime(2200, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("lost", ["cert.pem", "key.pem"])
def test_who_is_killed_while_keys_are_made_leaves_no_certificate_beside_another_key(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    make_keys(study)
    (study.tls / lost).unlink()

    def killed(path: Path, data: bytes) -> None:
        if path.name == "cert.pem":
            raise SystemExit(137)
        path.write_bytes(data)

    monkeypatch.setattr(keys, "write_atomic", killed)
    with pytest.raises(SystemExit):
        make_keys(study)
    assert [p.name for p in study.tls.iterdir()] == ["key.pem"]
