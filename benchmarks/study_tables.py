"""The tables of a study in Markdown, from the folder that holds its runs.

    mementum reproduce --claim studies/long_memory.toml --out FOLDER
    python benchmarks/study_tables.py studies/long_memory.toml FOLDER

Part by part: each contrast with its difference, the interval that its answer rests on,
the rates that the pilots chose, and the answer in the words of a comparison.
"""

import sys
from pathlib import Path

from mementum.lab.claims.claim import Relation
from mementum.lab.claims.ledger import words
from mementum.lab.claims.select import own
from mementum.lab.claims.settled import Tier
from mementum.lab.claims.verdict import Answer, Finding, judge
from mementum.lab.records.journal import Store
from mementum.lab.report.number_words import rate


def answer(finding: Finding) -> str:
    if finding.answer is Answer.MISSING:
        return "not run"
    if finding.check.relation is not Relation.EQUAL:
        return str(finding.answer)
    if finding.answer is Answer.HOLDS:
        return "equivalent"
    if finding.answer is Answer.OPEN or finding.difference is None:
        return "inconclusive"
    return "better" if finding.difference < 0 else "worse"


def rates(finding: Finding) -> str:
    sides = [side for side in (finding.arm, finding.against) if side is not None]
    return ", ".join(
        " ".join(map(rate, side.rates)) + ("*" if side.edge else "") for side in sides
    )


def main() -> None:
    claims = own([sys.argv[1]])
    records = Store(Path(sys.argv[2])).records()
    for verdict in judge(claims, Tier.QUICK, records):
        claim = verdict.claim
        print(f"### {claim.name}: {claim.sentence}\n\n{claim.note}\n")
        print("| what is asked | difference | level | rates | seeds | answer |")
        print("|---|---|---|---|---|---|")
        for each in verdict.findings:
            missing = each.answer is Answer.MISSING
            found = "" if missing else words.difference(each)
            level = "" if missing else words.level(each)
            cells = (each.check.says, found, level, rates(each), str(each.seeds))
            print(f"| {' | '.join(cells)} | {answer(each)} |")
        print()


if __name__ == "__main__":
    main()
