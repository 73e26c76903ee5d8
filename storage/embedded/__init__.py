"""The PostgreSQL that Vecmark runs itself if no database URL is set."""
