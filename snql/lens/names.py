"""Names of lens runs that were given none."""

import hashlib
import json

from snql.lens.options import LensOptions


def name_of(options: LensOptions) -> str:
    """A name made of the settings: asking again for the same replaces the run."""
    text = json.dumps(options.config(), sort_keys=True, default=str)
    return f"lens-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
