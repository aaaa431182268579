"""Tiles, windows, point-in-time joins, profiles and context: frame in, frame out."""
