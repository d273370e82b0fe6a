"""Measuring what the package does: time, memory."""
