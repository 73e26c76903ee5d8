"""The web page and the files of /docs."""
