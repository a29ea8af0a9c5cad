# SPDX-License-Identifier: GPL-2.0-or-later
# How often a freeze and a thaw took how many ticks, both axes logarithmic. Variables, set by test/lib/plots.py:
#   heading, note          what is measured; percentiles
#   series                 a quoted word each
#   $bins                  from, to, number: a block for each series
#   limit, limit_name      ticks, 0: there is none
set style line 1 lc rgb "#009988"
set style line 2 lc rgb "#4477AA"
set style line 3 lc rgb "#CC3311"
set style line 4 lc rgb "#EE7733" dt 2 lw 2
set border 3
set tics nomirror out
set grid lc rgb "#E8E8E8"
set logscale xy
set xrange [1:100000]
set yrange [0.7:1000]
set xtics ("0 or 1" 1, "10" 10, "100" 100, "1,000" 1000, "10,000" 10000, "100,000" 100000)
set ytics (1, 3, 10, 30, 100, 300)
set xlabel "ticks of the TSC"
set ylabel "freezes"
set style fill solid 0.7 noborder
set lmargin at screen 0.08
set rmargin at screen 0.955
set tmargin at screen 0.76
set bmargin at screen 0.13
set label 1 heading at screen 0.02,0.955 font ",14"
set label 2 note at screen 0.02,0.905 font ",10" tc rgb "#555555"
set key at screen 0.975,0.845 horizontal right maxrows 1 samplen 1.5 font ",11"
if (limit > 0) {
	set arrow from limit,graph 0 to limit,graph 1 nohead ls 4
	set label 3 limit_name at limit,graph 0.96 right offset -0.7,0 tc ls 4
}
plot for [i = 1:words(series)] $bins index i - 1 using 1:3:1:2:(0.7):3 with boxxyerror ls i title word(series, i)
