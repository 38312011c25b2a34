"""What the host sends a device arrives as it was when it was sent, with fake devices."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mementum.torch.backends import capture
from mementum.torch.backends.triton import upload
from mementum.torch.backends.triton.upload import Table


class Event:
    """One of a device that runs a copy when it is asked to."""

    def __init__(self, device: Device) -> None:
        self.device, self.waits = device, 0

    def record(self) -> None:
        self.device.queue.append(lambda: None)
        self.behind = len(self.device.queue)

    def synchronize(self) -> None:
        self.waits += 1
        self.device.run(self.behind)


class Device(SimpleNamespace):
    """A device that has copies under way: it reads memory when it runs, and not before."""

    type = "fake"

    def __init__(self) -> None:
        super().__init__(queue=[], done=0, events=[])

    def run(self, count: int | None = None) -> None:
        upto = len(self.queue) if count is None else count
        while self.done < upto:
            self.queue[self.done]()
            self.done += 1


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    own = Device()

    class There:
        """A tensor on the device."""

        def __init__(self, source: Tensor) -> None:
            self.values: list[float] = []
            self.copy_(source, non_blocking=True)

        def copy_(self, source: Tensor, *, non_blocking: bool) -> None:
            assert non_blocking
            own.queue.append(lambda: setattr(self, "values", source.tolist()))

    def event(_: Any) -> Event:
        own.events.append(Event(own))
        return own.events[-1]

    monkeypatch.setattr(upload, "_pinned", lambda n: torch.from_numpy(n.copy()))
    monkeypatch.setattr(upload, "_event", event)
    monkeypatch.setattr(upload, "_moved", lambda buffer, _: There(buffer))
    monkeypatch.setattr(capture, "_kept", [])
    return own


def numbers(first: int) -> np.ndarray:
    return np.arange(first, first + 4, dtype=np.int64)


def test_a_late_copy_reads_what_was_to_be_sent(device: Device) -> None:
    table = Table(device)
    arrived = []
    for first in range(20):
        there = table.update(numbers(first))
        device.queue.append(lambda there=there: arrived.append(list(there.values)))
    device.run()
    assert arrived == [numbers(first).tolist() for first in range(20)]


def test_the_host_waits_only_for_a_copy_whose_buffer_it_wants(device: Device) -> None:
    table = Table(device)
    for first in range(4):
        table.update(numbers(first))
    assert not any(event.waits for event in device.events)
    table.update(numbers(4))
    assert [event.waits for event in device.events] == [1, 0, 0]


def test_what_is_as_it_was_is_not_sent_again(device: Device) -> None:
    table = Table(device)
    table.update(numbers(0))
    sent = len(device.queue)
    table.update(numbers(0))
    assert len(device.queue) == sent


def test_a_graph_has_memory_of_its_own_that_stays(device, monkeypatch) -> None:
    table = Table(device)
    eager = table.update(numbers(0))
    device.run()
    monkeypatch.setattr(upload, "capturing", lambda: True)
    captured, again = table.update(numbers(7)), table.update(numbers(9))
    recorded = device.queue[device.done :]
    device.done = len(device.queue)
    monkeypatch.setattr(upload, "capturing", lambda: False)
    assert len({id(each) for each in (eager, captured, again)}) == 3
    for first in (20, 30, 40, 50, 60):
        assert table.update(numbers(first)) is eager
    device.run()
    for copy in recorded:
        copy()
    assert captured.values == numbers(7).tolist()
    assert again.values == numbers(9).tolist()
    assert eager.values == numbers(60).tolist()
    assert len(capture._kept) == 2
