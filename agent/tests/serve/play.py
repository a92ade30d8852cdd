"""Prints the output of an asciicast, as asciinema reads it: play.py FILE"""

import sys

from asciinema import asciicast

with asciicast.open_from_url(sys.argv[1]) as cast:
    for _, _, text in cast.stdout_events():
        sys.stdout.write(text)
