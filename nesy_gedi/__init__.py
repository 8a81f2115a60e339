"""Cluster images without labels, and name the clusters with logic."""

from importlib.metadata import version

__version__ = version("nesy-gedi")
