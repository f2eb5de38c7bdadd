"""Template deals: complete, solved specs in JSON, each with a representative pool that it runs over out of the box.

`template(name)` is the deal, `template_collateral(name)` the pool with its base case; docs/deal-templates.md describes
each.
"""

from pooling.deals.collateral import TemplateCollateral, template_collateral
from pooling.deals.templates import template, template_names, template_title

__all__ = ["TemplateCollateral", "template", "template_collateral", "template_names", "template_title"]
