"""The published rules, each transcribed from its paper's own form.

Nothing here imports mementum, so that agreement with it is evidence. Every function
takes the gradients of shape (steps, elements), the starting point, the learning rate
and the hyperparameters, and returns the points after each step, (steps, elements).
Two kinds of weight decay are added to every rule in the same way: coupled, ``g + wd x``
before anything else, and decoupled, ``x - lr wd x``.

Legend: x point, g gradient, m first moment, v second moment, hat corrected.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .adam import adam
from .adamnx import adamnx
from .adamomentum import adamomentum
from .adax import adax
from .amsgrad import adamnc, amsgrad
from .family import family

TRANSCRIPTIONS: dict[str, Callable[..., NDArray[np.float64]]] = {
    "Adam": adam,
    "AdamW": adam,
    "AMSGrad": amsgrad,
    "AdamNC": adamnc,
    "AdaX": adax,
    "AdaXW": adax,
    "AdamNX": adamnx,
    "AdaMomentum": adamomentum,
    "Mementum": family,
}
