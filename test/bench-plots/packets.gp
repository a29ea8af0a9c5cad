# SPDX-License-Identifier: GPL-2.0-or-later
# From packet to packet of a stream, over its time, in a panel for each file. Variables, set by test/lib/plots.py:
#   heading           what is measured
#   files, titles     a word (file without .csv) and a quoted word each, by panel
set datafile separator ","
set style line 1 lc rgb "#4477AA" pt 7 ps 0.3
set style line 2 lc rgb "#CC3311" pt 6 ps 1.2 lw 1.8
set border 3
set tics nomirror out
set grid ytics lc rgb "#E8E8E8"
set lmargin at screen 0.095
set rmargin at screen 0.975
most = 0
least = 1e9
do for [i = 1:words(files)] {
	stats word(files, i).".csv" using 2 skip 1 nooutput
	most = STATS_max > most ? STATS_max : most
	least = STATS_min < least ? STATS_min : least
}
room = (most - least) * 0.1
set yrange [least - room:most + room]
set multiplot
set label 1 heading at screen 0.02,0.965 font ",14"
set label 2 "from packet to packet (µs)" at screen 0.016,0.5 center rotate
set key at screen 0.98,0.915 horizontal right maxrows 1 samplen 1 font ",11"
do for [i = 1:words(files)] {
	set bmargin at screen 0.1 + (words(files) - i) * 0.42
	set tmargin at screen 0.1 + (words(files) - i) * 0.42 + 0.34
	set label 3 word(titles, i) at graph 0.005,1.06 font ",11"
	set xlabel i == words(files) ? "the guest's time in the stream (s)" : ""
	file = word(files, i).".csv"
	plot file skip 1 using 1:2 with points ls 1 notitle, \
		file skip 1 using 1:(valid(3) ? $2 : NaN) with points ls 2 notitle, \
		keyentry with points ls 1 ps 0.8 title "packet", \
		keyentry with points ls 2 title "after a freeze"
	unset label
	unset key
}
unset multiplot
