"""Damaged and hostile inputs by the thousand, each given to what reads such files."""
