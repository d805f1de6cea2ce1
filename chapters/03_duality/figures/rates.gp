set logscale xy
set xlabel "rows of the matrices"
set ylabel "billion multiply-adds per second"
set xrange [4:1024]
set xtics (4, 8, 16, 32, 64, 128, 256, 512, 1024)
set key left top Left reverse
plot data.'/rates.dat' using 1:3 with linespoints lt 1 pt 7 ps 0.5 title "multiply (BLAS)", \
     '' using 1:2 with linespoints lt 2 pt 7 ps 0.5 title "three loops"
