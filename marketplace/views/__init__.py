"""Pages of the market, by who uses them: everybody, originators, investors, operators."""
