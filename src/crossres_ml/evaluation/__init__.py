"""Held-out scores -> skill, with group-bootstrap intervals and paired differences."""
