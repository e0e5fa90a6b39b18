"""Files of ``infra/``, each checked by what reads it."""
