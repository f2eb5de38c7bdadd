"""The region a loan's economy belongs to: the factor that loans of one part of the country share.

Source: the four regions of the US Census Bureau, Census Regions and Divisions of the United States.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

REGIONS = ("Midwest", "Northeast", "South", "West")
_STATES = {
    "Midwest": "IL IN IA KS MI MN MO ND NE OH SD WI",
    "Northeast": "CT MA ME NH NJ NY PA RI VT",
    "South": "AL AR DC DE FL GA KY LA MD MS NC OK SC TN TX VA WV",
    "West": "AK AZ CA CO HI ID MT NM NV OR UT WA WY",
}
REGION_OF_STATE = {state: region for region, states in _STATES.items() for state in states.split()}


def sectors(state: pd.Series) -> NDArray[np.str_]:
    """(n,) region of each loan's state, "" where the state is unknown or not one of the United States."""
    return np.array([REGION_OF_STATE.get(text, "") for text in state.tolist()], dtype=str)
