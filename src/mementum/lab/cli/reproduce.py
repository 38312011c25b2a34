"""Carries out ``mementum reproduce``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich.table import Table
from rich.text import Text

from mementum.lab import arguments
from mementum.lab.arguments import Argument, ArgumentError
from mementum.lab.claims.claim import Claim
from mementum.lab.claims.ledger import files, json_form, words
from mementum.lab.claims.ledger.json_form import text
from mementum.lab.claims.plan import by_identity, planned
from mementum.lab.claims.select import own, select
from mementum.lab.claims.settled import Tier
from mementum.lab.claims.verdict import Outcome, Verdict, judge
from mementum.lab.cli import session
from mementum.lab.cli.progress import PatientConsole
from mementum.lab.errors import LabError
from mementum.lab.planning.own.registry import register
from mementum.lab.records.journal import Store, StoreError
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import RunRecord
from mementum.lab.running.driver import of_plan, pursue
from mementum.lab.running.executors.choice import choose
from mementum.lab.running.stepping.device import chosen as chosen_device


def _reproduce(options: argparse.Namespace) -> int:
    """Run what is missing of the claims, then show the ledger."""
    tier = Tier(arguments.known_name("tier", options.tier, [*Tier], "tier"))
    register(options.contender or ())
    claims = chosen(options.claims, options.claim or ())
    workers = session.workforce(options)
    store = Store(arguments.folder("folder", options.out))
    device = chosen_device(options.device)
    _spare_comparison(store)

    def grow(_: Plan, records: Sequence[RunRecord]) -> Plan:
        return planned(claims, tier, by_identity(records), device.kind)

    plan = grow(planned(claims, tier, device=device.kind), store.records())
    if options.dry_run:
        records = of_plan(plan, store.records())
        return session.foretell(plan, records, workers, as_json=options.json)
    executor = choose(options.workers, options.dask, device=device)
    console = PatientConsole(stderr=True, highlight=False)
    with store:
        if plan.runs:
            with session.stoppable(console, store):
                plan = pursue(plan, store, executor, session.shown_on(console), grow)
        else:
            store.write_plan(plan)
        records = of_plan(plan, store.records())
        verdicts = judge(claims, tier, records)
        _show(verdicts, tier, records, store.folder, as_json=options.json)
    say = PatientConsole(stderr=options.json, highlight=False, soft_wrap=True)
    failed = session.say_failures(records, plan, say)
    say.print(
        f"Ledger: {store.folder / json_form.PAGE} and {files.TEXT} beside it",
        markup=False,
    )
    return 1 if failed else 0


def _spare_comparison(store: Store) -> None:
    """Raise if the folder holds a comparison, whose plan would be lost."""
    with suppress(StoreError):
        if store.read_plan().reference:
            raise ArgumentError(
                Argument("folder"),
                f" is {store.folder}, which holds a comparison; choose another folder "
                "for the claims.",
            )


def chosen(names: str | None, paths: Sequence[str]) -> tuple[Claim, ...]:
    """Return the claims of these names, all unless told, and those of the files."""
    known = () if names is None and paths else select("all" if names is None else names)
    return (*known, *own(paths))


def _show(
    verdicts: Sequence[Verdict],
    tier: Tier,
    records: Sequence[RunRecord],
    folder: Path,
    *,
    as_json: bool,
) -> None:
    """Print the ledger, and write it into the folder."""
    if as_json:
        PatientConsole().out(text(verdicts, tier), highlight=False)
    else:
        PatientConsole().print(_table(verdicts))
    try:
        console = PatientConsole(stderr=True, highlight=False)
        with session.writing(console, "the ledger") as seen:
            files.write(verdicts, tier, records, folder, seen)
    except OSError as error:
        raise LabError(
            f"{error.filename or folder} cannot be written ({error.strerror}). "
            "The runs are kept; once that is mended, the same command writes the "
            "ledger."
        ) from error


_STYLES = {
    Outcome.REPRODUCED: "bold blue",
    Outcome.NOT_REPRODUCED: "bold dark_orange3",
}


def _table(verdicts: Sequence[Verdict]) -> Table:
    """Return the ledger as a table for the terminal."""
    rows = Table("claim", "verdict", "checks", box=None, padding=(0, 2, 1, 0))
    for verdict in verdicts:
        found = [
            f"{words.ANSWERS[each.answer]} {each.check.says}: {words.describe(each)}"
            for each in verdict.findings
        ]
        rows.add_row(
            verdict.claim.name,
            f"{words.SIGNS[verdict.outcome]} {verdict.outcome}",
            Text("\n".join(found or [verdict.claim.untestable])),
            style=_STYLES.get(verdict.outcome, ""),
        )
    return rows


COMMANDS = {"reproduce": _reproduce}
