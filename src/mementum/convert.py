"""Take over the state of a running optimizer; see `mementum.torch.convert`."""

from mementum import install

with install.needing("mementum.convert", "torch"):
    from mementum.torch.convert import Report, adopt, renamed

__all__ = ["Report", "adopt", "renamed"]
