set terminal svg size 660,400 dynamic enhanced font "Helvetica,15" linewidth 1
set xlabel "time, in steps"
set xrange [0:10.2]
set yrange [-0.8:2.1]
set xtics 0, 1, 10
set xzeroaxis lc rgb grey
set key at 10.1, 2.05 right top samplen 2 spacing 1.15
plot data.'/hold.dat' index 0 using 1:3 with steps lc rgb grey lw 1.2 title "input, held during each step", \
     '' index 0 using 1:2 with lines lt 1 title "exact solution", \
     '' index 1 using 1:2 with points lt 1 pt 7 ps 0.8 title "zero-order hold", \
     '' index 1 using 1:3 with linespoints lt 2 lw 1 dt (2, 4) pt 5 ps 0.6 title "Euler", \
     '' index 1 using 1:4 with linespoints lt 3 lw 1 dt (2, 4) pt 9 ps 0.9 title "Mamba-2"
