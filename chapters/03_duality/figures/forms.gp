set terminal svg size 640,400 dynamic enhanced font "Helvetica,15" linewidth 1
set logscale xy
set xlabel "length of the sequence"
set ylabel "milliseconds"
set xrange [32:4096]
set xtics (32, 64, 128, 256, 512, 1024, 2048, 4096)
set format y "10^{%T}"
set key left top Left reverse
plot data.'/forms.dat' using 1:2 with linespoints lt 1 pt 7 ps 0.5 title "quadratic, measured", \
     '' using 1:3 with linespoints lt 2 pt 7 ps 0.5 title "linear, measured", \
     '' using 1:4 with lines lt 1 lw 1.3 dt (4, 4) title "quadratic, by count", \
     '' using 1:5 with lines lt 2 lw 1.3 dt (4, 4) title "linear, by count"
