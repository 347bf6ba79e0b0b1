"""Reads a study file: YAML with positions, sections, levels, designs.

Imports: study's own spec, factors and problems.
"""
