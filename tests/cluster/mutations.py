"""Seeded damage to files: what crashes, disks and malice leave where a study's files should be."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

VALUES: tuple[str, ...] = (
    *("null", "true", "-1", "0", "1.5", "1e400", "-1e400", "1" + "0" * 400, "NaN", "Infinity", '""', '"x"', "[]", "{}", "[1]"),
    *('"../../x"', '"/etc/passwd"', '"\\ud800"', '"\\u0000"', '"t00000"', '"c00001"', '"ok"', '"crashed"', "9007199254740993", "-0.0"),
    *('{"a":{}}', '{"pid":-1}', "[[[[]]]]", '"' + "y" * 5000 + '"', "1e308", "5e-324", '"tls://nowhere:1"'),
)
PIECES = (b"\0", b"\xff\xfe", b"{", b"}", b"[", b'"', b"\n", b",", b"\r\n", b"\xed\xa0\x80", b"9" * 400, b"\\ud800", b'"a":1,"a":2,', b"")
DEEP = 100_000

Mutation = Callable[[random.Random, bytes], bytes]


def bits(rng: random.Random, data: bytes) -> bytes:
    """A few bits turned over."""
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if damaged:
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def cut(rng: random.Random, data: bytes) -> bytes:
    """The end, the beginning or a part is gone."""
    a, b = sorted((rng.randint(0, len(data)), rng.randint(0, len(data))))
    return rng.choice([data[:a], data[b:], data[:a] + data[b:]])


def insertion(rng: random.Random, data: bytes) -> bytes:
    """Bytes that do not belong there."""
    at = rng.randint(0, len(data))
    return data[:at] + rng.choice(PIECES) + data[at + rng.choice([0, 0, 1, 5]) :]


def lines(rng: random.Random, data: bytes) -> bytes:
    """Lines twice, gone, or in another order."""
    found = data.splitlines(keepends=True) or [b""]
    a, b = rng.randrange(len(found)), rng.randrange(len(found))
    match rng.randrange(4):
        case 0:
            found.insert(b, found[a])
        case 1:
            del found[a]
        case 2:
            found[a], found[b] = found[b], found[a]
        case _:
            found[min(a, b) : max(a, b)] = []
    return b"".join(found)


def value(rng: random.Random, data: bytes) -> bytes:
    """One value of the JSON is another one, of whatever type, or its name is."""
    found = data.splitlines(keepends=True) if b"\n{" in data[1:-1] else [data]
    at = rng.randrange(len(found))
    try:
        body = json.loads(found[at])
    except (ValueError, RecursionError):
        return bits(rng, data)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key, inner in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
            places.append((node, key))
            walk(inner)

    walk(body)
    if not places:
        return rng.choice(VALUES).encode()
    node, key = rng.choice(places)
    match rng.randrange(6):
        case 0 if isinstance(node, dict):
            del node[key]
        case 1 if isinstance(node, dict):
            node[rng.choice(["x", "", "a\u0000b", "trial_id", "config"])] = node.pop(key)
        case _:
            node[key] = "@here@"
    text = json.dumps(body).replace('"@here@"', rng.choice(VALUES))
    found[at] = text.encode() + (b"\n" if found[at].endswith(b"\n") else b"")
    return b"".join(found)


def nested(rng: random.Random, data: bytes) -> bytes:
    """Lists or objects in each other, deeper than anybody can follow, alone or in the place of a value."""
    depth = rng.choice([90, 150, 990, DEEP])
    deep = rng.choice([b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth, b"[" * depth])
    at = data.find(b":", rng.randrange(len(data) or 1))
    end = data.find(b",", at)
    return deep if at < 0 or end < 0 or rng.random() < 0.3 else data[: at + 1] + deep + data[end:]


def whole(rng: random.Random, data: bytes) -> bytes:
    """Something else altogether."""
    other = [b"", b"\n", b"null\n", b"[]\n", b"{}\n", b"\0" * 1000, b"\xff" * 100, rng.choice(VALUES).encode(), b"x" * 100_000, data + data]
    return rng.choice(other)


MUTATIONS: tuple[Mutation, ...] = (bits, cut, insertion, lines, value, value, value, nested, whole)


def replace_file(rng: random.Random, path: Path, elsewhere: Path) -> str:
    """Something that is no file in a file's place; returns what."""
    path.unlink(missing_ok=True)
    match kind := rng.choice(["directory", "link", "circle", "pipe", "absent", "device"]):
        case "directory":
            path.mkdir()
        case "link":
            path.symlink_to(elsewhere)
        case "circle":
            path.symlink_to(path)
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
    return kind


def remove(path: Path) -> None:
    """Whatever lies there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
