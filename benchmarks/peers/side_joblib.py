"""joblib: `Parallel` with two loky workers."""

from __future__ import annotations

import json
import sys

from joblib import Parallel, delayed
from work import trial

durations = json.loads(sys.argv[1])
Parallel(n_jobs=2, pre_dispatch=2, batch_size=1)(delayed(trial)(i, s) for i, s in enumerate(durations))
