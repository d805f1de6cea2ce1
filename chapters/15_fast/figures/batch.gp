set xrange [0.5:8.5]; set yrange [0:*]; set xtics 1; set key top left samplen 2
set xlabel "vectors at once"; set ylabel "products per second"
plot data.'/batch.dat' using 1:2 with linespoints lt 1 pt 7 title "measured", \
     '' using 1:3 with lines lt 2 dt 2 title "reading the matrix anew for each"
