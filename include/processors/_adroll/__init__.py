"""Parts of processor `adroll`."""
