"""The deal language: a capital structure and its order of payments as checked, hashed data."""

from pooling.engine.deal.classes import INDICATIVE_GRADES
from pooling.engine.deal.diff import Change, diff, diff_in_words
from pooling.engine.deal.errors import SpecError
from pooling.engine.deal.spec import DealSpec
from pooling.engine.deal.template import default_template

__all__ = ["INDICATIVE_GRADES", "Change", "DealSpec", "SpecError", "default_template", "diff", "diff_in_words"]
