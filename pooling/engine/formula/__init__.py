"""The formula language of deals: limits, tests, fees and targets are small texts over named quantities.

They are parsed and type-checked when the deal is read, never handed to Python's own eval.
"""

from pooling.engine.formula.kinds import FormulaError, Kind
from pooling.engine.formula.parser import Formula, parse_formula

__all__ = ["Formula", "FormulaError", "Kind", "parse_formula"]
