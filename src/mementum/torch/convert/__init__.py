"""Take over the state of a running optimizer, and give it back."""

from mementum.torch.convert.adoption import adopt, renamed
from mementum.torch.convert.report import Report

__all__ = ["Report", "adopt", "renamed"]
