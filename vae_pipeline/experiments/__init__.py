"""Many fits of one dataset: which hyperparameters, and how much depends on which units are fitted on."""
