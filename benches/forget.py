#!/usr/bin/env python3
"""Drops what the page cache holds of every file below the folders named, for who may not drop all of it.

Only clean pages go (sync first), and none that a program has mapped. bench.sh checks by the kernel's counters whether
goodgate's reads came from the device all the same.
"""

import os
import sys

for root in sys.argv[1:]:
    for folder, _, names in os.walk(root):
        for name in names:
            handle = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_NOFOLLOW)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)
