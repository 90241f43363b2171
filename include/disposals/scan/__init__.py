"""The self-scan: what stands of a person in logs and tables, by keyed digests."""
