"""The paper as recipes: a TOML file for every figure and table, the steps they need, and the sizes to run them at.

``files`` reads recipes, steps and scales; ``plan`` turns wanted recipes into commands in order; ``costs`` says what
they need; ``results`` compares what came out with what was published; ``page`` and ``words`` show it.
"""
