"""Cases worked out by hand, one or more for each ruling on statistics, for our engine and for others."""
