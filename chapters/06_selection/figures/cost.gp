set logscale xy; set xrange [3.5:150]; set xtics (4, 8, 16, 32, 64, 128); set key top left samplen 2
set xlabel "state size N"; set ylabel "microseconds per token"
plot data.'/cost.dat' using 1:2 with linespoints lt 2 pt 7 title "Mamba-1's selective scan", \
     '' using 1:3 with linespoints lt 1 pt 7 title "Mamba-2's chunked scan"
