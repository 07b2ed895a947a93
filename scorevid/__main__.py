"""``python -m scorevid`` is the command ``scorevid``."""

from scorevid.cli import main

main()
