"""What users touch: the web application, its settings, the command line and the web page."""
