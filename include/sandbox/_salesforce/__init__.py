"""Parts of the stand-in `salesforce`."""
