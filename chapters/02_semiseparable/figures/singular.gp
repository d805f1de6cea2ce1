set xlabel "index of the singular value"
set ylabel "size, the largest being 1"
set logscale y
set format y "10^{%L}"
set xrange [0.5:16.5]
set yrange [1e-19:10]
set ytics 1e-18, 1e6, 1
set xtics 1, 1, 16
set key at 16.3, 1e-4 right top samplen 2 spacing 1.2
plot data.'/singular.dat' using 1:2 with linespoints lt 1 pt 7 ps 0.6 title "N = 1", \
     '' using 1:3 with linespoints lt 2 pt 5 ps 0.6 title "N = 2", \
     '' using 1:4 with linespoints lt 3 pt 9 ps 0.7 title "N = 4", \
     '' using 1:5 with linespoints lt 4 pt 13 ps 0.8 title "N = 8"
