"""``python -m nesy_gedi``: what torchrun starts."""

from nesy_gedi.cli import main

if __name__ == "__main__":
    main(prog_name="nesy-gedi")
