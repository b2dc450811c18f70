"""Dated tables of Azure's facts, each with its source."""
