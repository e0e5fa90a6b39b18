"""Has the world moved: a day of served predictions against the normal samples a detector was calibrated on."""
