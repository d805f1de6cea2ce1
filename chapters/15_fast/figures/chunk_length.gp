set logscale x 2; set xrange [14:290]; set yrange [0:*]; set key bottom right samplen 2
set xlabel "chunk length Q"; set ylabel "microseconds per token"
plot data.'/chunk_length.dat' using 1:2 with linespoints lt 1 pt 7 title "the scan", \
     '' using 1:3 with linespoints lt 3 pt 7 title "its products alone", \
     '' using 1:4 with lines lt 2 dt 2 title "multiply-adds at the product peak"
