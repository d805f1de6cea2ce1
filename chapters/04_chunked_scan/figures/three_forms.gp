set terminal svg size 640,400 dynamic enhanced font "Helvetica,15" linewidth 1
set logscale xy
set xlabel "length of the sequence"
set ylabel "milliseconds"
set xrange [32:16384]
set xtics (32, 64, 128, 256, 512, "1 K" 1024, "2 K" 2048, "4 K" 4096, "8 K" 8192, "16 K" 16384)
set format y "10^{%T}"
set key left top Left reverse
plot data.'/three_forms.dat' using 1:3 with linespoints lt 1 pt 7 ps 0.5 title "quadratic", \
     '' using 1:2 with linespoints lt 2 pt 7 ps 0.5 title "recurrence", \
     '' using 1:4 with linespoints lt 3 pt 7 ps 0.5 title "chunked, Q = 64"
