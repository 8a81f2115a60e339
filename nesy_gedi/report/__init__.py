"""The HTML report of runs: one file, with pictures and text in it, that needs no network to be looked at."""
