# SPDX-License-Identifier: GPL-2.0-or-later
# A loop's iterations over the guest's time, in four panels: the whole scale, with long freezes; then close up without
# freezes, with short and with long ones. Variables, set by test/lib/plots.py:
#   heading, note          what is measured; what else to know
#   files, titles          a word (file without .csv) and a quoted word each, by panel
#   low, high, wide_low, wide_high, usual      ms; step: between tics close up
#   paper, paper_name      ms above the usual at which the original system's line is drawn, and what it is
#   calm, calm_name        the same without checkpoints; 0: there is no such figure
#   named                  the panel in which the lines have their names
set datafile separator ","
set style line 1 lc rgb "#4477AA" pt 7 ps 0.3
set style line 2 lc rgb "#CC3311" pt 6 ps 1.2 lw 1.8
set style line 3 lc rgb "#EE7733" dt 2 lw 2
set style line 4 lc rgb "#009988" dt 4 lw 2
set style line 5 lc rgb "#C8C8C8" lw 1
set border 3
set tics nomirror out
set grid ytics lc rgb "#E8E8E8"
stats word(files, 1).".csv" using 2 skip 1 nooutput
set xrange [0:ceil(STATS_max / 5) * 5]
set xtics 10
set lmargin at screen 0.095
set rmargin at screen 0.975
bottom(i) = 0.065 + (4 - i) * 0.22
height = 0.165
# Points that would be drawn over each other once are enough.
thinned(file) = "< awk -F, 'NR > 1 && !seen[int($2 * 10), $3, $5]++' ".file

set multiplot
set label 1 heading at screen 0.02,0.978 font ",14"
set label 2 note at screen 0.02,0.953 font ",10" tc rgb "#555555"
set key at screen 0.98,0.925 horizontal right maxrows 1 samplen 1 width -1 font ",11"
do for [i = 1:4] {
	set bmargin at screen bottom(i)
	set tmargin at screen bottom(i) + height
	set label 3 word(titles, i) at graph 0.005,1.08 font ",11"
	set label 4 "iteration (ms)" at screen 0.016,bottom(i) + height / 2 center rotate
	if (i == named) {
		set label 5 paper_name at graph 0.008,first usual + paper offset 0,0.6 front font ",10" tc ls 3
		set label 6 calm_name at graph 0.992,first usual + calm offset 0,0.6 right front font ",10" tc ls 4
	}
	below = i == 1 ? wide_low : low
	above = i == 1 ? wide_high : high
	set yrange [below:above]
	set format y i == 1 ? "%g" : "%.2f"
	if (i > 1) {
		set ytics step
	}
	set format x i == 4 ? "%g" : ""
	set xlabel i == 4 ? "the guest's time since the loop began (s)" : ""
	file = word(files, i).".csv"
	moments = word(files, i)."-freezes.csv"
	plot moments skip 1 using 2:(below):(0):(above - below) with vectors nohead ls 5 notitle, \
		(i >= named ? usual + paper : NaN) with lines ls 3 notitle, \
		(calm > 0 && i >= named ? usual + calm : NaN) with lines ls 4 notitle, \
		thinned(file) using 2:($3 / 1000) with points ls 1 notitle, \
		file skip 1 using 2:(valid(5) ? $3 / 1000 : NaN) with points ls 2 notitle, \
		keyentry with points ls 1 ps 0.8 title "iteration", \
		keyentry with points ls 2 title "spanning a freeze", \
		keyentry with lines ls 5 lw 2 title "freeze"
	unset label
	unset key
}
unset multiplot
