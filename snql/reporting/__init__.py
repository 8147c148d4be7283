"""Reports: figures, tables and a page to read, from what an analysis database holds."""

from snql.reporting.build import DEFAULT_FORMATS, build, catalogue
from snql.reporting.model import RenderedFigure, RenderedTable, Report
from snql.reporting.render import FORMATS

__all__ = ["DEFAULT_FORMATS", "FORMATS", "RenderedFigure", "RenderedTable", "Report", "build", "catalogue"]
