"""Parts of processor `salesforce`."""
