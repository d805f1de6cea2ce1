set logscale xy; set xrange [1:1000]; set key top left samplen 2
set format y "%g"; set format x "%g"
set xlabel "size of the one weight that sticks out"; set ylabel "error, beside the product without it"
plot data.'/outlier.dat' using 1:2 with lines lt 1 title "bfloat16", \
     '' using 1:3 with lines lt 2 title "int8, a scale for the row", \
     '' using 1:4 with lines lt 3 title "int8, a scale for 32"
