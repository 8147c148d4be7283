"""Guards: a few neurons tell, before anything is written, whether an answer would be harmful (arXiv 2406.14144)."""

from snql.guard.attached import Attached as Attached
from snql.guard.model import Guard as Guard
