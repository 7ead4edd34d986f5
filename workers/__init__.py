"""How things run: processes, broker, conductor, mailer, command line."""
