"""Whether a log can be trained on as a configuration says, and what is in it."""
