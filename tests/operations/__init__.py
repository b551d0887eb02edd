"""What an operator reads: the log and its table of events, dashboards, alarms, the soak's verdict."""
