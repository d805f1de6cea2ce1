set logscale x 2; set xrange [14:290]; set yrange [0:*]; set key top left samplen 2
set xlabel "chunk length Q"; set ylabel "microseconds per token"
plot data.'/chunk_length.dat' using 1:2 with linespoints lt 1 pt 7 title "measured", \
     '' using 1:3 with lines lt 2 dt 2 title "multiply-adds at the product peak"
