"""The app's tables, then the schema that Portcullis reads."""
