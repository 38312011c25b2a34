"""Carries out ``mementum reproduce``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from mementum.lab.claims.claim import Claim
from mementum.lab.claims.ledger import json_form, words
from mementum.lab.claims.ledger.json_form import text
from mementum.lab.claims.plan import Tier, planned
from mementum.lab.claims.select import own, select
from mementum.lab.claims.verdict import Outcome, Verdict, judge
from mementum.lab.cli import session
from mementum.lab.cli.progress import PatientConsole
from mementum.lab.cli.request import RequestError, cluster, place, whole
from mementum.lab.records.journal import Store, StoreError
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import RunRecord, Status
from mementum.lab.running.driver import of_plan
from mementum.machine import cores


@dataclass(frozen=True, kw_only=True)
class Errand:
    """The options of ``mementum reproduce``, all of them possible."""

    claims: tuple[Claim, ...]
    tier: Tier
    workers: int
    dask: str | None
    folder: Path


def reproduce(arguments: argparse.Namespace) -> int:
    """Run what is missing of the claims, then show the ledger."""
    errand = requested(arguments)
    plan = planned(errand.claims, errand.tier)
    store = Store(errand.folder)
    spare_comparison(store)
    console = PatientConsole(stderr=True, highlight=False)
    if arguments.dry_run:
        kept = of_plan(plan, store.records())
        return session.foretell(plan, kept, errand, as_json=arguments.json)
    executor = session.workforce(errand)
    with store:
        store.write_plan(plan)
        if plan.runs and not session.carry_out(plan, store, executor, errand, console):
            return session.INTERRUPTED
        records = of_plan(plan, store.records())
        return show(errand, plan, records, as_json=arguments.json)


def spare_comparison(store: Store) -> None:
    """Raise if the folder holds a comparison, whose plan would be lost."""
    with suppress(StoreError):
        if store.read_plan().reference:
            raise RequestError(
                f"--out is {store.folder}, which holds a comparison; choose another "
                "folder for the claims."
            )


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
        claims=chosen(arguments.claims, arguments.claim or ()),
        tier=tier,
        workers=cores() if workers is None else whole("--workers", workers),
        dask=cluster(arguments.dask, workers, None),
        folder=place("--out", arguments.out),
    )


def chosen(names: str | None, files: Sequence[str]) -> tuple[Claim, ...]:
    """Return the claims of these names, all unless told, and those of the files."""
    known = () if names is None and files else select("all" if names is None else names)
    return (*known, *own(files))


def show(
    errand: Errand, plan: Plan, records: Sequence[RunRecord], *, as_json: bool
) -> int:
    """Print the ledger, write it into the folder; return the exit code."""
    from mementum.lab.claims.ledger import files

    verdicts = judge(errand.claims, errand.tier, records)
    if as_json:
        PatientConsole().out(text(verdicts, errand.tier), highlight=False)
    else:
        PatientConsole().print(table(verdicts))
    say = PatientConsole(stderr=as_json, highlight=False, soft_wrap=True)
    try:
        files.write(verdicts, errand.tier, records, errand.folder)
    except OSError as error:
        raise RequestError(
            f"{error.filename or errand.folder} cannot be written ({error.strerror}). "
            "The runs are kept; once that is mended, the same command writes the "
            "ledger."
        ) from error
    failed = [record for record in records if record.status is Status.FAILED]
    for record in failed[:1]:
        spec = record.spec
        say.print(
            f"{len(failed)} of {len(plan.runs)} runs failed, the first of them "
            f"{spec.contender_label} on {spec.task_label} (lr {spec.lr:g}, "
            f"seed {spec.seed}): {record.error}. The same command tries them "
            "again.",
            markup=False,
        )
    say.print(
        f"Ledger: {errand.folder / json_form.PAGE} and {files.TEXT} beside it",
        markup=False,
    )
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
            f"{words.ANSWERS[each.answer]} {each.check.says}: {words.told(each)}"
            for each in verdict.findings
        ]
        rows.add_row(
            verdict.claim.name,
            f"{words.SIGNS[verdict.outcome]} {verdict.outcome}",
            Text("\n".join(found or [verdict.claim.untestable])),
            style=STYLES.get(verdict.outcome, ""),
        )
    return rows
