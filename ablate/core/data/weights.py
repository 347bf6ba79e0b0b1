"""The Inception weights that define FID: an explicit, verified download, or a file that is already there."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable
from pathlib import Path

from ablate.core.shared.requirements import FID_FILE, FID_SHA256, FID_URL, FID_VARIABLE, file_sha256
from ablate.errors import DataError


def fetch(folder: Path, tell: Callable[[str], None]) -> Path:
    """Download the weights (91 MB) into `folder` unless a verified copy is there; return the file.

    Raises DataError when the server cannot be reached, the download is corrupt, or the folder cannot be written.
    """
    import torch

    path = folder / FID_FILE
    if path.is_file() and file_sha256(path) == FID_SHA256:
        tell(f"inception is already in {folder}, verified")
        return path
    tell(f"downloading inception from {FID_URL} to {folder}")
    bring = f"copy {FID_FILE} (sha256 {FID_SHA256}) to {folder}, or name it in {FID_VARIABLE}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(FID_URL, str(path), hash_prefix=FID_SHA256)
    except urllib.error.URLError as error:
        raise DataError(f"cannot download inception: {error.reason}", hint=bring) from error
    except OSError as error:
        raise DataError(f"cannot download inception: {error.strerror or error}", hint=bring) from error
    except RuntimeError as error:  # the hash, which torch checks before it puts the file in place
        raise DataError("the downloaded inception weights are corrupt", hint=bring) from error
    tell(f"inception is in {folder}, verified")
    return path
