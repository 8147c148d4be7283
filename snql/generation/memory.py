"""Work that may not fit into memory."""

from collections.abc import Callable

import torch


def fits(work: Callable[[], None]) -> bool:
    """Do the work; False if memory ran out, with what the attempt held given back."""
    try:
        work()
    except (torch.OutOfMemoryError, MemoryError):
        pass
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
    else:
        return True
    # Only here, where the failed attempt's tensors are no longer referred to by a traceback, can they be freed.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False
