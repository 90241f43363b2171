"""Parts of the stand-in `zendesk`."""
