"""Denoising diffusion: forward process, U-Net, training, samplers.

Imports: core.shared, schedules, settings, data and programs.
"""
