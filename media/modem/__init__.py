"""The C around libspandsp, built by build.py. Its face is media/spandsp.py, and nothing else imports it."""
