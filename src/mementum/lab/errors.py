"""The errors of the lab, and the sentence for what a user's own code raises."""

from __future__ import annotations

import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class LabError(Exception):
    """Something the user can set right; the message is a sentence that says how."""


class UserCodeError(LabError):
    """Something is wrong in a user's file; the message names its line."""


@contextmanager
def blamed(path: Path) -> Generator[None, None, None]:
    """Turn whatever the file's code raises into a sentence with the file's line."""
    try:
        yield
    except LabError:
        raise
    except (Exception, SystemExit) as error:
        raise UserCodeError(_told(path, error)) from error


def _told(path: Path, error: BaseException) -> str:
    """Return where in the file an error arose, and what it says."""
    kind = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}, line {error.lineno}"
        return f"{place}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if frame.filename == str(path)]
    if not inside:
        return f"{path}: {kind}"
    frame = inside[-1]
    place = f"{path}, line {frame.lineno}"
    if frame.name != "<module>":
        place += f", in {frame.name}"
    return f"{place}: {kind} (`{frame.line}`)" if frame.line else f"{place}: {kind}"
