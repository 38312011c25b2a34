"""A forked child can take a step, whatever its parent did before."""

from __future__ import annotations

import json
import os

import pytest
from tests.native import kernel

pytestmark = [
    kernel.needed,
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
]

# The parent has run torch's own threads, which no child of it can use.
PREPARE = """
    import json, os, sys, time, warnings
    warnings.simplefilter("ignore")
    import torch
    from mementum.torch import AdamW, AdaX
    torch.set_num_threads(4)

    def child(work):
        '''Return how long a child's work took, or None if it did not end in time.'''
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            begun = time.perf_counter()
            result = work()
            took = time.perf_counter() - begun
            os.write(write, json.dumps([took, result]).encode())
            os._exit(0)
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                os.close(write)
                return json.loads(os.read(read, 10_000) or "null")
            time.sleep(0.005)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        return None

    param = torch.nn.Parameter(torch.linspace(-1, 1, 1_000_000))
    param.grad = torch.linspace(1, 2, 1_000_000)
    large = torch.ones(2_000, 2_000)
"""


def test_a_step_in_the_parent_and_then_in_a_child_ends_within_a_second() -> None:
    script = (
        PREPARE
        + """
    optimizer = AdamW([param], lr=0.1)
    results = []
    for _ in range(20):
        optimizer.step()
        (large @ large).sum().item(), (large * 2).exp().sum().item()
        before = param.detach()[0].item()
        step = lambda: (optimizer.step(), param.detach()[0].item())[1]
        took, after = child(step) or (99.0, before)
        results.append([took, after != before, param.detach()[0].item() == before])
    print(json.dumps(results))
    """
    )
    results = json.loads(kernel.output_of(script))
    assert len(results) == 20
    # A step of a million takes milliseconds; torch's own never ends.
    assert max(took for took, _, _ in results) < 1
    assert all(moved and own_kept for _, moved, own_kept in results)


OPTIONS: list[dict[str, object]] = [
    {},
    {"nonfinite": "skip"},
    {"nonfinite": "raise"},
    {"clip_norm": 1.0},
]
DTYPES = "float32", "float64"


@pytest.fixture(scope="module")
def first_steps() -> dict[str, object]:
    """Return how children ended whose parent has never taken a step."""
    script = (
        PREPARE
        + f"""
    (large @ large).sum().item(), (large * 2).exp().sum().item()
    def work():
        try:
            optimizer.step()
        except FloatingPointError:
            return "refused"
        return optimizer.skipped_steps
    ended = {{}}
    for dtype in {DTYPES!r}:
        for options in {OPTIONS!r}:
            param.data, param.grad = param.data.to(getattr(torch, dtype)), None
            param.grad = torch.linspace(1, 2, 1_000_000, dtype=param.dtype)
            if "nonfinite" in options:
                param.grad[7] = torch.inf
            optimizer = AdaX([param], **options)
            ended[f"{{options}} {{dtype}}"] = child(work)
    print(json.dumps(ended))
    """
    )
    found: dict[str, object] = json.loads(kernel.output_of(script, timeout=120))
    return found


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_step_of_all_may_be_a_childs(
    options: dict[str, object], dtype: str, first_steps: dict[str, list[object]]
) -> None:
    """Its moments have yet to be made, and its gradients to be looked at."""
    ended = first_steps[f"{options} {dtype}"]
    assert ended is not None
    took, result = ended
    assert isinstance(took, float)
    assert took < 1
    assert result == {"skip": 1, "raise": "refused"}.get(
        str(options.get("nonfinite")), 0
    )


def test_a_loader_that_forks_its_workers_runs_beside_steps() -> None:
    script = (
        PREPARE
        + """
    from torch.utils.data import DataLoader, Dataset

    class Numbers(Dataset):
        def __len__(self):
            return 24

        def __getitem__(self, i):
            # A worker may train something of its own.
            own = torch.nn.Parameter(torch.ones(300_000))
            own.grad = torch.ones(300_000)
            AdamW([own], lr=0.1).step()
            return float(i) * own.detach()[7].item() ** 0

    optimizer = AdamW([param], lr=0.1)
    total = 0
    loader = DataLoader(Numbers(), 4, num_workers=2, multiprocessing_context="fork")
    for batch in loader:
        optimizer.step()
        total += batch.sum().item()
    print(json.dumps(total))
    """
    )
    assert json.loads(kernel.output_of(script, timeout=60)) == sum(range(24))


def test_steps_make_no_threads_that_stay() -> None:
    """There are those of torch's runtime, and no more after twenty steps than one."""
    script = """
        import os, torch
        from mementum.torch import AdamW
        torch.set_num_threads(8)
        param = torch.nn.Parameter(torch.ones(2_000_000))
        param.grad = torch.ones_like(param)
        optimizer = AdamW([param])
        optimizer.step()
        before = len(os.listdir("/proc/self/task"))
        for _ in range(20):
            optimizer.step()
        print(len(os.listdir("/proc/self/task")) - before)
    """
    if not os.path.isdir("/proc/self/task"):  # noqa: PTH112
        pytest.skip("no list of threads here")
    assert int(kernel.output_of(script)) == 0
