"""Redis: keys, scripts and the state kept there. The only home of redis."""
