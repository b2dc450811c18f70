"""Highly available PostgreSQL environments on AKS, as Prefect flows."""
