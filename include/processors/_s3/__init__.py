"""Parts of processor `s3`."""
