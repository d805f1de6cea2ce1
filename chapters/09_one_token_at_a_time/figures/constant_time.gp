set logscale xy; set xrange [80:130000]; set key top left samplen 2
set xlabel "tokens so far"; set ylabel "microseconds for one more"; set format x "10^{%T}"; set format y "10^{%T}"
plot data.'/again.dat' using 1:2 with linespoints lt 2 pt 5 ps 0.7 title "the whole text again", \
     data.'/steps.dat' using 1:2 with points lt 1 pt 7 ps 0.5 title "one step"
