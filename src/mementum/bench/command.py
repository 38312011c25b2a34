"""`mementum bench`: from the words of the command line to the table."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mementum import machine
from mementum.bench import chart, names, run, table
from mementum.bench.entrant import CLASSES
from mementum.bench.gpu import run as gpu_run
from mementum.bench.gpu import table as gpu_table
from mementum.bench.gpu.device import Device
from mementum.bench.measurement import Measurement, report
from mementum.bench.run import (
    BUDGET,
    MEASURED,
    QUICK,
    QUICK_BUDGET,
    Request,
)
from mementum.bench.training import TRAININGS


def request(
    cases: str | None, classes: str | None, *, quick: bool, in_loop: bool
) -> Request:
    """Return what lists of names with commas ask for; None asks for all.

    `in_loop` leaves only the cases in a training loop to ask for. Errors:
    `ValueError` for a name of nothing, with the nearest ones.
    """
    default = QUICK if quick else tuple(CLASSES)
    known = tuple(TRAININGS if in_loop else MEASURED)
    return Request(
        names.cases(cases, in_loop=in_loop) or known,
        names.classes(classes) or default,
        QUICK_BUDGET if quick else BUDGET,
    )


def request_on_device(
    device: Device,
    cases: str | None,
    classes: str | None,
    formats: str | None,
    *,
    quick: bool,
) -> gpu_run.Request:
    """Return what the same lists, and one of formats, ask for on a device.

    Errors: as `request`.
    """
    return gpu_run.request(
        device,
        cases=names.cases_on_device(cases),
        classes=names.classes(classes),
        formats=names.formats(formats),
        quick=quick,
    )


def bench(asked: Request, *, as_json: bool, plot: Path | None) -> int:
    """Measure steps on the processor; see `measurement.report`."""
    load = machine.load()
    measurement = Measurement(
        lambda: [heat.budgets for heat in asked.heats()],
        partial(run.measure, asked),
        lambda rows: table.text(rows, load),
        lambda rows: table.data(rows, load),
        lambda rows, path: chart.draw(table.panels(rows), path),
    )
    return report(measurement, as_json=as_json, plot=plot)


def bench_device(
    asked: gpu_run.Request, device: Device, *, as_json: bool, plot: Path | None
) -> int:
    """Measure steps on a device; see `measurement.report`."""
    load = machine.load()
    measurement = Measurement(
        lambda: [heat.case.elements for heat in asked.heats()],
        partial(gpu_run.measure, asked, device),
        lambda rows: gpu_table.text(rows, device, load),
        lambda rows: gpu_table.data(rows, device, load),
        lambda rows, path: chart.draw(gpu_table.panels(rows), path),
    )
    return report(measurement, as_json=as_json, plot=plot)
