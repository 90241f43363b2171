"""The SQL of each page, and the pure functions that shape what it returns; nothing here writes."""
