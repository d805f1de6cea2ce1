set terminal svg size 640,340 dynamic enhanced font "Helvetica,15" linewidth 1
set xlabel "steps"
set ylabel "milliseconds"
set logscale xy
set xrange [230:72000]
set format y "%g"
set xtics (256, 1024, 4096, 16384, 65536)
set yrange [0.01:300]
set key left top Left reverse samplen 2 spacing 1.15
plot data.'/clock.dat' using 1:3 with linespoints lt 2 pt 5 ps 0.6 title "direct sum", \
     '' using 1:2 with linespoints lt 3 pt 9 ps 0.7 title "recurrence", \
     '' using 1:4 with linespoints lt 1 pt 7 ps 0.6 title "kernel and transform", \
     '' using 1:5 with linespoints lt 1 dt (4, 4) pt 6 ps 0.6 title "transform alone"
