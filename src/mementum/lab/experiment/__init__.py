"""The one way into the lab: plan a comparison, carry it out, read what was found.

    from mementum import lab

    if __name__ == "__main__":  # worker processes import the script again
        plan = lab.plan(tasks=["mlp-digits"], contenders=["AdamW", "AdaXW"], seeds=4)
        found = lab.compare(plan, "my-comparison")
        print(found.analysis.tasks[0].result("AdaXW").verdict)
        found.report("report.html")
        verdicts = pandas.DataFrame(found.frames()["verdicts"])

What an argument cannot be is a `LabError`, and a name that is not known a `LookupError`
as well. The command line is a thin layer of words over these functions.
"""

from mementum.lab.experiment.at_hand import compare_model
from mementum.lab.experiment.comparison import PAGE, PAGE_BEGINS, Comparison
from mementum.lab.experiment.named import compare, plan, read

__all__ = [
    "PAGE",
    "PAGE_BEGINS",
    "Comparison",
    "compare",
    "compare_model",
    "plan",
    "read",
]
