"""Networks and their fitting; the only room with torch."""
