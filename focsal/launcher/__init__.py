"""Starts FOCSAL on one machine: PostgreSQL and Redis out of wheels, and every Procfile process.

Entry point: ``python -m focsal.launcher run|test|bench|soak|servers`` (see the Makefile).
It knows nothing of Django: processes are told what they need through their environment.
"""
