"""WHAT it means: statistics, verdicts, tables, figures. Never starts a trial, never imports torch."""
