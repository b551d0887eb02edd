"""Real SIP phones under test control, a house to call through, and ears to judge what was heard."""
