"""Images to train and test on: one uint8 tensor that stays on the device, split once; missing data is never replaced.

[`load`][] gives an [`ImageSet`][] and never touches the network; [`fetch`][] is the explicit download. Both raise
DataError with one line and a hint. Importing this package needs no torchvision.

Imports: core.shared.
"""

from __future__ import annotations

from ablate.core.data.catalogue import DATA_SETS, fetch, load
from ablate.core.data.images import ImageSet, Labels, as_unit, to_uint8

__all__ = ["DATA_SETS", "ImageSet", "Labels", "as_unit", "fetch", "load", "to_uint8"]
