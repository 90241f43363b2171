"""Parts of processor `stripe`."""
