"""Adds a file by dulwich, which writes the index as it understands it."""

from dulwich import porcelain

porcelain.add(".", ["AAA"])
