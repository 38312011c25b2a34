"""The record of a run that is given up because it ends every worker that begins it."""

from __future__ import annotations

from mementum.lab.run import Curve, RunRecord, RunSpec, Status


def lost(spec: RunSpec, error: str, environment: dict[str, str]) -> RunRecord:
    """Return the failed record of a run."""
    return RunRecord(
        spec=spec,
        status=Status.FAILED,
        score=None,
        curve=Curve(steps=(), train=(), validation=()),
        seconds=0.0,
        optimizer_seconds=0.0,
        parameters=0,
        error=error,
        environment=environment,
    )
