"""Parts of processor `paper`."""
