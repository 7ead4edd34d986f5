"""Rules apart from the world: no clock, no database, no network, no settings."""
