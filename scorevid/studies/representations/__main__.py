"""``python -m scorevid.studies.representations`` trains the networks of chapter 9."""

import tyro

from scorevid.studies.representations.networks import Train

if __name__ == "__main__":
    tyro.cli(Train)()
