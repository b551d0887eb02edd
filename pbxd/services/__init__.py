"""What the house does beside carrying calls. Each module is a stranger to the others and listens on the event bus.

cdr   call records: written as calls change, read by the API
"""
