"""When each text is encoded: a queue and threads for each encoder, and limits on what waits."""
