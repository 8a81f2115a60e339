"""From a program to the probability that it gives."""
