"""Why: which sensors, when in the window, where in the image, which latents; numpy and scipy alone."""
