"""Parts of processor `own_database`."""
