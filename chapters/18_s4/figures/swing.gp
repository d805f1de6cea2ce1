set terminal svg size 640,330 dynamic enhanced font "Helvetica,15" linewidth 1
set xlabel "time, in steps"
set ylabel "position"
set xrange [0:16.3]
set yrange [-0.45:0.75]
set ytics -0.4, 0.4, 0.4
set xzeroaxis lc rgb grey
set key at 16, 0.74 right top samplen 2 spacing 1.15
plot data.'/swing.dat' index 0 using 1:2 with lines lc rgb grey lw 1.4 notitle, \
     '' index 1 using 1:2 with points lt 1 pt 7 ps 0.8 title "zero-order hold", \
     '' index 1 using 1:3 with linespoints lt 2 lw 1 dt (2, 4) pt 5 ps 0.6 title "bilinear", \
     '' index 1 using 1:4 with linespoints lt 3 lw 1 dt (2, 4) pt 9 ps 0.8 title "Euler"
