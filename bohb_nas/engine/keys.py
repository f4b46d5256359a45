"""The key by which masters and workers of a study know each other, and its certificate: made once, for as long as the study lasts."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from bohb_nas.files import write_atomic
from bohb_nas.store.study_dir import StudyDir

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""What a certificate is valid for: the key lies beside it, so that an end would protect nothing, and clocks of machines are off.

The last second is the one that stands for no end (RFC 5280, 4.1.2.5).
"""


def make_keys(study: StudyDir) -> None:
    """Makes the study's key where there is none, and a certificate where there is none of it that is valid at any time.

    The certificate is put last, and never stands beside another key.

    Raises:
        StorageError: the disk refused.
        OSError: they cannot be read.
    """
    study.tls.mkdir(mode=0o700, exist_ok=True)
    key_path, cert_path = study.credentials
    key = _key(key_path)
    if key is None:
        cert_path.unlink(missing_ok=True)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        write_atomic(key_path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    if not _serves(cert_path, key):
        write_atomic(cert_path, _signed(key).public_bytes(Encoding.PEM))


def _key(path: Path) -> RSAPrivateKey | None:
    """The key in a file; None where there is none."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    return key if isinstance(key, RSAPrivateKey) else None


def _serves(path: Path, key: RSAPrivateKey) -> bool:
    """Whether a certificate of the key is in a file, and is valid at any time: dask's own, of earlier versions, was so for a year."""
    try:
        cert = x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return cert.public_key() == key.public_key() and (cert.not_valid_before_utc, cert.not_valid_after_utc) == (_FIRST, _LAST)


def _signed(key: RSAPrivateKey) -> x509.Certificate:
    """A certificate of the key, signed with itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bohb-nas")])
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), _FIRST, _LAST)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("bohb-nas")]), critical=False)
        .sign(key, hashes.SHA256())
    )
