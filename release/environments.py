"""Install what `make dist` built in environments of its own, and try it: `make smoke`.

Four environments have torch, JAX, both, or neither. Installed in each, in turn, are the
wheel, the pure wheel, and the source distribution with and without a compiler.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mementum.sources import step_digest

ROOT = Path(__file__).parents[1]
SIDES = {
    "neither": [],
    "JAX": ["jax", "optax"],
    "torch": ["torch"],
    "both": ["torch", "jax", "optax"],
}
# What CMake is told to compile with where there is to be no compiler.
NO_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false"}


def python(venv: Path, *words: str | Path, **environment: str) -> str:
    """Run the Python of an environment away from here, and return what it prints."""
    folder = "Scripts" if sys.platform == "win32" else "bin"
    done = subprocess.run(
        [venv / folder / "python", *words],
        cwd=venv,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\n{' '.join(map(str, words))} failed.")
    return done.stdout


def artifacts(folder: Path) -> dict[str, tuple[Path, bool, dict[str, str]]]:
    """Return what there is to install, whether it has a kernel, and with what around.

    Where no wheel has a kernel, as on Windows, the source distribution gives none.
    """
    (sdist,) = folder.glob("*.tar.gz")
    (pure,) = folder.glob("*-none-any.whl")
    found = {"the pure wheel": (pure, False, {})}
    for wheel in set(folder.glob("*.whl")) - {pure}:
        found["the wheel"] = (wheel, True, {})
        found["the sdist"] = (sdist, True, {})
    found["the sdist without a compiler"] = (sdist, False, NO_COMPILER)
    return found


def tried(side: str, folder: Path, interpreter: str, digest: str) -> None:
    """Make an environment, and install and try in it what there is."""
    with tempfile.TemporaryDirectory() as aside:
        venv = Path(aside, "venv")
        subprocess.run([interpreter, "-m", "venv", venv], check=True)
        pip = ["-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        pins = ["--constraint", ROOT / "constraints.txt"]
        python(venv, *pip, *pins, "numpy", *SIDES[side])
        for name, (path, has_kernel, around) in artifacts(folder).items():
            start = time.perf_counter()
            again = ["--force-reinstall", "--no-deps", "--no-cache-dir"]
            python(venv, *pip, *again, path, **around)
            told = json.loads(
                python(venv, "-W", "error", ROOT / "release" / "smoke.py")
            )
            if told["digest"] != digest:
                sys.exit(f"{side}, {name}: the digest is {told['digest']}.")
            if (told["kernel"] is not None) is not has_kernel:
                sys.exit(f"{side}, {name}: the kernel is {told['kernel']}.")
            counts = ", ".join(
                f"{n} {what}" for what, n in told.items() if isinstance(n, int)
            )
            seconds = time.perf_counter() - start
            print(f"{side:8} {name:29} {counts} ({seconds:.0f} s)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sides", nargs="*", metavar="SIDE", help=", ".join(SIDES))
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", metavar="FOLDER")
    parser.add_argument("--python", default=sys.executable, metavar="INTERPRETER")
    args = parser.parse_args()
    if not [*args.dist.glob("*.whl")]:
        sys.exit(f"There is no wheel in {args.dist}: run make dist.")
    digest = step_digest([ROOT / "src" / "mementum"])
    for side in args.sides or SIDES:
        tried(side, args.dist, args.python, digest)


if __name__ == "__main__":
    main()
