"""Keeps the records of finished runs in a folder, whatever happens to the process."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb

from mementum.lab.errors import LabError
from mementum.lab.records import atomic, segments
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import FormatError, RunRecord, Status, compact

JOURNAL = "journal.jsonl"
PLAN = "plan.json"
SEGMENTS = "segments"
ASIDE = "not-to-be-trusted"
_LIMIT = 4 << 20
"""Bytes of the journal at which its records move into a segment."""


class StoreError(LabError):
    """The folder cannot be used; the message says why and what to do."""


class Store:
    """A folder with one line of JSON for each run, written by one process at a time.

    A line counts once its newline is there, so a process that dies while writing loses
    the record it was writing and no other. A line ends with the digest of the rest;
    those of older versions, which come first, have none. A journal that has grown to
    ``limit`` bytes is emptied into a Parquet segment.
    """

    def __init__(self, folder: Path, limit: int = _LIMIT) -> None:
        self.folder = folder
        self.journal = folder / JOURNAL
        self.segments = folder / SEGMENTS
        self.limit = limit
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Open the folder for writing; a second process is refused."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
            descriptor = os.open(self.journal, flags, 0o666)
        except OSError as error:
            raise StoreError(complaint(error, self.folder)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise StoreError(_locked(error, self.folder)) from error
        self._descriptor = descriptor
        self._drop_torn_line()
        segments.drop_unfinished(self.segments)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def exists(self) -> bool:
        """Return whether the folder holds results, or is about to."""
        return self.journal.exists() or self.segments.exists()

    def records(self) -> list[RunRecord]:
        """Return one record for each run, as ``settled`` chooses and sorts them."""
        return resolve(self.every())

    def every(self) -> list[RunRecord]:
        """Return all records kept, several of one run among them.

        The journal is read before the segments: a record that moves meanwhile is seen
        twice, and never missed.
        """
        return [*self._lines(), *self._compacted()]

    def append(self, record: RunRecord) -> None:
        """Write the record and wait until the disk has it."""
        descriptor = self._open()
        line = _sealed(record.to_json())
        end = os.fstat(descriptor).st_size
        try:
            write(descriptor, line)
        except OSError as error:
            os.ftruncate(descriptor, end)
            raise StoreError(complaint(error, self.folder)) from error
        if end + len(line) >= self.limit:
            self.compact()

    def compact(self) -> None:
        """Move the journal's records into a segment.

        The journal is emptied once the disk has the segment. A process that dies in
        between leaves every record twice, which is as good as once.
        """
        descriptor = self._open()
        self.keep(resolve(self._lines()))
        os.ftruncate(descriptor, 0)

    def keep(self, records: Sequence[RunRecord]) -> None:
        """Keep many records at once, in a segment: all of them or none."""
        self._open()
        if not records:
            return
        ids = [record.spec.run_id for record in records]
        try:
            segments.write(self.segments, ids, [r.to_json() for r in records])
        except OSError as error:
            raise StoreError(complaint(error, self.folder)) from error
        except duckdb.Error as error:
            raise StoreError(
                f"{self.segments} cannot be written ({str(error).splitlines()[0]}). "
                "Every run recorded so far is kept."
            ) from error

    def set_aside(self) -> None:
        """Move the records where nobody looks for them: they are not to be trusted."""
        aside = self.folder / ASIDE
        with self:
            aside.mkdir(exist_ok=True)
            number = len([*aside.iterdir()])
            for path in (self.journal, self.segments):
                if path.exists():
                    path.rename(aside / f"{number}-{path.name}")

    def write_plan(self, plan: Plan) -> None:
        """Keep the plan beside the records, in place of the one kept before."""
        try:
            atomic.write_text(self.folder / PLAN, compact(plan.to_dict()) + "\n")
        except OSError as error:
            raise StoreError(complaint(error, self.folder)) from error

    def read_plan(self) -> Plan:
        """Return the plan that ``write_plan`` kept."""
        path = self.folder / PLAN
        again = f"`mementum compare --out {self.folder}` writes it"
        try:
            return Plan.from_dict(dict(json.loads(path.read_text(encoding="utf-8"))))
        except FileNotFoundError as error:
            raise StoreError(
                f"{self.folder} holds no comparison: {PLAN} is missing. {again}."
            ) from error
        except OSError as error:
            raise StoreError(complaint(error, self.folder)) from error
        except (AttributeError, TypeError, ValueError, RecursionError) as error:
            raise StoreError(f"{path} is broken ({error}). {again} anew.") from error

    def _lines(self) -> Iterable[RunRecord]:
        try:
            content = self.journal.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(complaint(error, self.folder)) from error
        complete = content[: content.rfind(b"\n") + 1]
        sealed = False
        for number, line in enumerate(complete.splitlines(), start=1):
            try:
                record, sealed = _read(line, sealed=sealed)
                yield record
            except FormatError as error:
                raise StoreError(
                    f"{self.journal}, line {number}, is written in {error}. "
                    "Use another folder, or the version that wrote it."
                ) from error
            except (ValueError, RecursionError) as error:
                raise StoreError(
                    f"{self.journal}, line {number}, is broken ({error}). Delete that "
                    "line, and the same command repeats its run only."
                ) from error

    def _compacted(self) -> Iterable[RunRecord]:
        for path in segments.listed(self.segments):
            try:
                for line in segments.read(path):
                    yield RunRecord.from_json(line)
            except FormatError as error:
                raise StoreError(
                    f"{path} is written in {error}. Use another folder, or the version "
                    "that wrote it."
                ) from error
            except (ValueError, RecursionError) as error:
                raise StoreError(
                    f"{path} is broken ({error}). Copy it again from where it came, or "
                    "delete it, and the same command repeats its runs only."
                ) from error

    def _open(self) -> int:
        if self._descriptor is None:
            raise RuntimeError("the store is open for reading only; enter it to write")
        return self._descriptor

    def _drop_torn_line(self) -> None:
        """Cut off what follows the last newline, so that no record is glued to it."""
        assert self._descriptor is not None
        content = self.journal.read_bytes()
        if not content.endswith(b"\n"):
            os.ftruncate(self._descriptor, content.rfind(b"\n") + 1)


def resolve(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Return one record for each run, sorted by task, contender, rate and seed.

    A result wins over a failure. Of several, one is drawn by the digest of its line,
    which favours no value. Nothing depends on the order of the records, or on how often
    one is given: folders merged in any order, or twice, are the same folder.
    """
    kept: dict[str, RunRecord] = {}
    for record in records:
        run_id = record.spec.run_id
        rival = kept.setdefault(run_id, record)
        if rival is not record and _standing(record) < _standing(rival):
            kept[run_id] = record
    return sorted(kept.values(), key=_place)


def _standing(record: RunRecord) -> tuple[bool, str]:
    """Return what decides between records of one run; the least is kept."""
    digest = hashlib.sha256(record.to_json().encode()).hexdigest()
    return record.status is Status.FAILED, digest


def _place(record: RunRecord) -> tuple[str, str, float, int, str]:
    """Return what decides the place of a record among those of other runs."""
    spec = record.spec
    return *spec.labels, spec.lr, spec.seed, spec.run_id


def _sealed(text: str) -> bytes:
    """Return the journal's line of a record: its JSON, with its own digest last."""
    plain = text.encode()
    return plain[:-1] + f'{_SEAL}{_digest(plain)}"}}\n'.encode()


def _read(line: bytes, *, sealed: bool) -> tuple[RunRecord, bool]:
    """Return a line's record, and whether it has a digest, as the line before it had.

    Raises ``ValueError`` for a line that is not as it was written.
    """
    text, seal, digest = line.rpartition(_SEAL.encode())
    if not seal:
        record = RunRecord.from_json(line.decode())
        if sealed:
            raise ValueError("its digest is missing")
        return record, False
    plain = text + b"}"
    record = RunRecord.from_json(plain.decode())
    if digest.decode() != _digest(plain) + '"}':
        raise ValueError("it was changed: its digest belongs to another record")
    return record, True


_SEAL = ',"digest":"'


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:32]


def spare(path: Path, name: str, *, like: bytes = b"") -> None:
    """Raise if a file of this path would be among records, or in the place of one.

    A file that is there already is replaced only if it begins like the new one.
    """
    try:
        whole = path.resolve()
        there = path.read_bytes() if like and path.is_file() else b""
    except (OSError, RuntimeError) as error:
        raise StoreError(f"{name} is {path}, and it cannot be read.") from error
    if there and not there.startswith(like):
        raise StoreError(
            f"{name} is {path}, where another file is; move it away, or name another "
            "place."
        )
    inside = [path.parent, *whole.parents]
    if {path.name, whole.name} & {JOURNAL, PLAN} or any(
        each.name == SEGMENTS and Store(each.parent).exists() for each in inside
    ):
        raise StoreError(
            f"{name} is {path}, where records of a comparison are kept; name another "
            "place."
        )


def write(descriptor: int, line: bytes) -> None:
    """Write the line in one call and wait until the disk has it."""
    if os.write(descriptor, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(descriptor)


def complaint(error: OSError, folder: Path) -> str:
    """Say in a sentence or two why the folder cannot be used, and the way out."""
    kept = "Every run recorded so far is kept; the same command continues from there."
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"No space left for {folder} ({error.strerror}). Free some. {kept}"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"{folder} is not a folder. Choose another."
    if error.errno == errno.EISDIR:
        place = error.filename2 or error.filename
        return (
            f"{place} is a folder, where a file belongs. Move it away, or choose "
            "another folder for the comparison."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{folder} is not writable ({error.strerror}). Choose another folder, or "
            "change its permissions."
        )
    return f"{folder} cannot be used ({error.strerror}). {kept}"


def _locked(error: OSError, folder: Path) -> str:
    """Say why the folder cannot be locked, and the way out."""
    if error.errno in (errno.EAGAIN, errno.EACCES):
        return (
            f"Another mementum is writing to {folder}. Wait for it to end, or "
            "choose another folder."
        )
    return f"{folder} cannot be locked ({error.strerror}). Choose another folder."
