"""What figures are made of: which rows, axes, series, marks, panels and words of captions.

A figure is a view, a function that draws its rows with these parts, and the sentences of its caption.
"""
