"""Layer versions over a fleet of functions: who has which, what a new one would touch, and rolling it out.

Drives Lambda's public API alone, so that it works against AWS as well.
"""
