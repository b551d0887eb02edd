"""The configuration file: what is read from it, and what is said about its mistakes."""
