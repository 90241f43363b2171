"""Parts of processor `zendesk`."""
