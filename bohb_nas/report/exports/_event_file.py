"""Event files as TensorBoard reads them, written without it.

A file is a sequence of records (TFRecord): the length as 8 bytes and its checksum, then the data and their checksum, little-endian; the
checksum is CRC-32C, rotated by 15 bits and shifted. The data of a record are one `Event` of tensorboard/compat/proto/event.proto in
protocol buffers' wire format: keys of field number and wire type, variable-length integers, length-prefixed messages.
"""

import math
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from bohb_nas.errors import StorageError
from bohb_nas.records import Value
from bohb_nas.store import notes

_HPARAMS = "hparams"
"""The plugin that shows hyperparameters, and the prefix of its tags."""
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5
"""Wire types."""
_HEADER = struct.Struct("<QI")
_BEGINNING = struct.Struct("<Bd")
"""Of an event: the key of its time, and that."""
_SUCCESS, _FAILURE = 1, 2


def _table() -> list[int]:
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


_CRC = _table()


def checksum(data: bytes) -> int:
    """The masked CRC-32C of a record's part."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """The data with their length and both checksums."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", checksum(length)) + data + struct.pack("<I", checksum(data))


def version(wall_time: float) -> bytes:
    """The event that every file begins with."""
    return _double(1, wall_time) + _text(3, "brain.Event:2")


def scalars(wall_time: float, step: int, values: Mapping[str, float]) -> bytes:
    """An event with numbers by tag, at a step; each is kept in single precision."""
    summary = b"".join(_bytes(1, _text(1, tag) + _key(2, _FLOAT) + _single(value)) for tag, value in values.items())
    return _double(1, wall_time) + _int(2, step) + _bytes(5, summary)


def session_start(wall_time: float, config: Mapping[str, Value], group: str) -> bytes:
    """An event that says with which hyperparameters a run began, and which runs share them."""
    entries = b"".join(_bytes(1, _text(1, name) + _bytes(2, _value(value))) for name, value in config.items())
    return _plugin(wall_time, "session_start_info", _bytes(3, entries + _text(4, group) + _double(5, wall_time)))


def session_end(wall_time: float, *, good: bool) -> bytes:
    """An event that says how a run ended."""
    return _plugin(wall_time, "session_end_info", _bytes(4, _int(1, _SUCCESS if good else _FAILURE) + _double(2, wall_time)))


def append(path: Path, records: list[bytes]) -> None:
    """Appends records of which the file has the first ones already; half a record at its end, of a killed writer, is written again.

    Args:
        path: of the file; its folder is made.
        records: all that it is to hold, from its first on.

    Raises:
        StorageError: the disk refused.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as stream:
            n, end = _complete(stream.read())
            if n < len(records):
                stream.truncate(end)
                stream.seek(end)
                stream.write(b"".join(map(record, records[n:])))
    except OSError as e:
        raise StorageError(f"cannot write {path}: {e.strerror}; free space or restore access, then run the same command again") from e


def began(path: Path) -> float | None:
    """The time of the event that a file begins with; None where there is none."""
    head = notes.read_bytes(path, limit=_HEADER.size + _BEGINNING.size) or b""
    if len(head) < _HEADER.size + _BEGINNING.size:
        return None
    key, wall_time = _BEGINNING.unpack_from(head, _HEADER.size)
    return float(wall_time) if bytes([key]) == _key(1, _DOUBLE) else None


def _complete(data: bytes) -> tuple[int, int]:
    """How many whole records a file begins with, and where they end."""
    n = end = 0
    while end + _HEADER.size <= len(data):
        length, check = _HEADER.unpack_from(data, end)
        after = end + _HEADER.size + length + 4
        if check != checksum(data[end : end + 8]) or after > len(data):
            break
        n, end = n + 1, after
    return n, end


def _plugin(wall_time: float, name: str, content: bytes) -> bytes:
    about = _bytes(1, _text(1, _HPARAMS) + _bytes(2, content))
    return _double(1, wall_time) + _bytes(5, _bytes(1, _text(1, f"_{_HPARAMS}_/{name}") + _bytes(9, about)))


def _value(value: Value) -> bytes:
    """A google.protobuf.Value."""
    if isinstance(value, bool):
        return _int(4, int(value))
    return _text(3, value) if isinstance(value, str) else _double(2, float(value))


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(n: int) -> bytes:
    data = bytearray()
    while n > 0x7F:
        data.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*data, n])


def _int(number: int, value: int) -> bytes:
    return _key(number, _VARINT) + _varint(value)


def _double(number: int, value: float) -> bytes:
    return _key(number, _DOUBLE) + struct.pack("<d", value)


def _single(value: float) -> bytes:
    with suppress(OverflowError):
        return struct.pack("<f", value)
    return struct.pack("<f", math.copysign(math.inf, value))


def _bytes(number: int, data: bytes) -> bytes:
    return _key(number, _BYTES) + _varint(len(data)) + data


def _text(number: int, text: str) -> bytes:
    return _bytes(number, text.encode(errors="replace"))
