"""Reading a GGUF file once.

transformers parses it once for the configuration, once for the weights and once for the tokenizer, and makes the map of
names of weights anew for each of the model's modules: of a small model, nine tenths of the time that loading takes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any

_LOADING = RLock()


@contextmanager
def parsed_once(file: str | None) -> Iterator[None]:
    """Within, what is parsed of a GGUF file is kept; nothing happens without one. Other threads' loading waits."""
    if file is None:
        yield
        return
    import gguf

    library: Any = gguf
    with _LOADING:
        reader, names = library.GGUFReader, library.get_tensor_name_map
        read = cache(reader)
        library.GGUFReader = lambda path: read(Path(path).resolve())
        library.get_tensor_name_map = cache(names)
        try:
            yield
        finally:
            library.GGUFReader, library.get_tensor_name_map = reader, names
