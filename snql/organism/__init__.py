"""The model organism: a small pair of unaligned and aligned models that ships with the package.

Everything here is trained from scratch by `python -m snql.organism.factory` on template text with invented objects,
so that every part of snql can be tried without a download. Import `snql.organism.bundled` to find the files:
it loads neither torch nor transformers.
"""
