"""What mementum lies in: the system, where it is imported from, and its extras."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from mementum import machine

_REQUIRED = re.compile(r"([\w.-]+).*extra == [\"']([\w-]+)[\"']")
# For who works on mementum, and for the extras that others bring.
_NOT_SHOWN = ("mementum", "test")


def source() -> str:
    """Return the folder that mementum is imported from."""
    return str(Path(machine.__file__).parent)


def system() -> dict[str, Any]:
    """Return the system, its C library, the processor, and how busy it is."""
    return {
        "name": platform.system(),
        "release": platform.release(),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "machine": platform.machine(),
        "processor": machine.processor(),
        "cores": machine.cores(),
        "load": machine.load(),
    }


def system_words(known: dict[str, Any]) -> str:
    """Return the system in a line."""
    words = [f"{known['name']} {known['release']}", known["machine"], known["libc"]]
    return ", ".join(filter(None, words))


def extras() -> dict[str, dict[str, str | None]]:
    """Return the version of each package of each extra, None where it is absent."""
    try:
        required = metadata.requires("mementum") or ()
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, dict[str, str | None]] = {}
    for each in map(_REQUIRED.match, required):
        if each is not None and not {*each.groups()} & {*_NOT_SHOWN}:
            package, extra = each.groups()
            found.setdefault(extra, {})[package] = machine.version(package)
    return found


def extras_words(found: dict[str, dict[str, str | None]]) -> str:
    """Return the extras in a line, with what each lacks.

    >>> extras_words({"jax": {"jax": "0.10", "optax": None}, "lab": {"rich": "15.0"}})
    'lab; not whole: jax (no optax)'
    """
    lacks = {
        extra: [package for package, version in packages.items() if version is None]
        for extra, packages in found.items()
    }
    whole = ", ".join(extra for extra, absent in lacks.items() if not absent) or "none"
    rest = [f"{e} (no {', '.join(absent)})" for e, absent in lacks.items() if absent]
    return f"{whole}; not whole: {', '.join(rest)}" if rest else whole
