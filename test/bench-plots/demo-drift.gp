# SPDX-License-Identifier: GPL-2.0-or-later
# How far two guests' clocks have moved apart over a run. Variables, set by test/lib/demoreport.py:
#   titles      a quoted word for each run
#   $runs       seconds, ms: a block for each run
set border 3
set tics nomirror out
set grid lc rgb "#E8E8E8"
set xlabel "s"
set ylabel "ms"
set title "How far the second guest's clock has moved against the first one's (from the one-way times of two streams)"
set key left top Left reverse
array colours[3] = ["#4477AA", "#009988", "#CC3311"]
plot for [i = 1:words(titles)] $runs index i - 1 using 1:2 with lines lw 2 lc rgb colours[i] title word(titles, i)
