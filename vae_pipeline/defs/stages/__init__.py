"""One builder per stage; each serves every line."""
