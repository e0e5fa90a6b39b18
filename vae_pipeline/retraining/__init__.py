"""When a model is trained again: evidence, and the policy that weighs it."""
