"""The waist: `base.py` says what a store does, every other file is one store."""
