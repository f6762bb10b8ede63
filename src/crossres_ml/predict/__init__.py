"""Tables of new profiles: aligned by name, checked, and scored with saved models."""
