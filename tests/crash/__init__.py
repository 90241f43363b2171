"""Crashes, outages and hostile input: what the rest of the suite takes for granted, taken away."""
