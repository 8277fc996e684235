"""Faults that a customer asks for with ``X-Test-Fault``, in that one answer or socket alone."""
