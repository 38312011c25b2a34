"""Carries out ``mementum reproduce``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from mementum.lab import commands
from mementum.lab.claim import Claim
from mementum.lab.claims import markdown, page, words
from mementum.lab.claims.ledger import select
from mementum.lab.claims.plain import plain
from mementum.lab.claims.plan import Tier, planned
from mementum.lab.claims.verdict import Outcome, Verdict, judge
from mementum.lab.console import PatientConsole
from mementum.lab.driver import of_plan
from mementum.lab.executor.local import LocalExecutor, cores
from mementum.lab.request import RequestError, place, whole
from mementum.lab.run import RunRecord, Status
from mementum.lab.search import Plan
from mementum.lab.store import Store

PAGE = "ledger.html"
TEXT = "ledger.md"


@dataclass(frozen=True, kw_only=True)
class Errand:
    """The options of ``mementum reproduce``, all of them possible."""

    claims: tuple[Claim, ...]
    tier: Tier
    workers: int
    folder: Path


def reproduce(arguments: argparse.Namespace) -> int:
    """Run what is missing of the claims, then show the ledger."""
    errand = requested(arguments)
    plan = planned(errand.claims, errand.tier)
    store = Store(errand.folder)
    console = PatientConsole(stderr=True, highlight=False)
    if arguments.dry_run:
        kept = of_plan(plan, store.records())
        return commands.foretell(plan, kept, errand, as_json=arguments.json)
    with store:
        store.write_plan(plan)
        if plan.runs and not commands.carry_out(
            plan, store, LocalExecutor(errand.workers), errand, console
        ):
            return commands.INTERRUPTED
    return show(errand, plan, of_plan(plan, store.records()), as_json=arguments.json)


def requested(arguments: argparse.Namespace) -> Errand:
    """Return the command line's options, or raise for the first that is impossible."""
    try:
        tier = Tier(arguments.tier)
    except ValueError as error:
        known = ", ".join(Tier)
        raise RequestError(
            f"--tier is {arguments.tier}; choose from {known}."
        ) from error
    workers = arguments.workers
    return Errand(
        claims=select(arguments.claims),
        tier=tier,
        workers=cores() if workers is None else whole("--workers", workers),
        folder=place("--out", arguments.out),
    )


def show(
    errand: Errand, plan: Plan, records: Sequence[RunRecord], *, as_json: bool
) -> int:
    """Print the ledger, write it as a page and in Markdown; return the exit code."""
    verdicts = judge(errand.claims, errand.tier, records)
    if as_json:
        text = json.dumps(plain(verdicts, errand.tier), indent=1, allow_nan=False)
        PatientConsole().out(text, highlight=False)
    else:
        PatientConsole().print(table(verdicts))
    say = PatientConsole(stderr=as_json, highlight=False, soft_wrap=True)
    try:
        page.write(verdicts, errand.tier, records, errand.folder / PAGE)
        written = markdown.ledger(verdicts, errand.tier)
        (errand.folder / TEXT).write_text(written, encoding="utf-8")
    except OSError as error:
        raise RequestError(
            f"The ledger cannot be written to {errand.folder} ({error.strerror}). The "
            "runs are kept; the same command writes it once there is room."
        ) from error
    failed = [record for record in records if record.status is Status.FAILED]
    for record in failed[:1]:
        say.print(
            f"{len(failed)} of {len(plan.runs)} runs failed, the first of them "
            f"{record.spec.contender} on {record.spec.task} (lr {record.spec.lr:g}, "
            f"seed {record.spec.seed}): {record.error}. The same command tries them "
            "again.",
            markup=False,
        )
    say.print(f"Ledger: {errand.folder / PAGE} and {TEXT} beside it", markup=False)
    return 1 if failed else 0


STYLES = {
    Outcome.REPRODUCED: "bold blue",
    Outcome.NOT_REPRODUCED: "bold dark_orange3",
}


def table(verdicts: Sequence[Verdict]) -> Table:
    """Return the ledger as a table for the terminal."""
    rows = Table("claim", "verdict", "checks", box=None, padding=(0, 2, 1, 0))
    for verdict in verdicts:
        found = [
            f"{words.ANSWERS[each.answer]} {each.check.says}: {words.difference(each)}"
            for each in verdict.findings
        ]
        rows.add_row(
            verdict.claim.name,
            f"{words.SIGNS[verdict.outcome]} {verdict.outcome}",
            "\n".join(found or [verdict.claim.untestable]),
            style=STYLES.get(verdict.outcome, ""),
        )
    return rows
