"""The command line's words: read, checked and written."""
