"""Parts of the stand-in `stripe`."""
