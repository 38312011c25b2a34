"""Which runs the claims need: all arms of all checks, at all rates, with all seeds.

An arm with a pilot is run at all rates with the seeds of the pilot. Once these are
over, it is run with fresh seeds at the rate that they chose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from mementum.lab.claims.claim import Claim
from mementum.lab.claims.settled import Tier, settle
from mementum.lab.claims.values import runs
from mementum.lab.planning.factorial import outline
from mementum.lab.records.plan import Outline, Plan
from mementum.lab.records.run import CPU, RunRecord, RunSpec

_NONE: Mapping[str, RunRecord] = MappingProxyType({})


def planned(
    claims: Sequence[Claim],
    tier: Tier,
    found: Mapping[str, RunRecord] = _NONE,
    device: str = CPU,
) -> Plan:
    """Return the plan of these claims, as far as the runs that are over tell it.

    A run that several claims need is in it once.
    """
    specs: dict[str, RunSpec] = {}
    outlines: dict[str, Outline] = {}
    for claim in claims:
        for check in claim.checks:
            for name in dict.fromkeys(filter(None, (check.arm, check.against))):
                settled = settle(check, claim.arms[name], tier)
                label = settled.setting.label
                about = outline(settled.setting.task)
                outlines[label] = replace(about, name=label)
                needed = runs(check, settled, found)
                placed = (replace(spec, device=device) for spec in needed)
                specs |= {spec.run_id: spec for spec in placed}
    return Plan(
        tasks=tuple(outlines.values()), reference="", runs=tuple(specs.values())
    )


def by_identity(records: Sequence[RunRecord]) -> dict[str, RunRecord]:
    """Return the records by what identifies their runs.

    Claims say nothing of devices: the records are of one kind, whichever it is.
    """
    return {replace(record.spec, device=CPU).run_id: record for record in records}
