set logscale y; set xrange [0.5:24.5]; set yrange [1e-8:10]; set format y "10^{%T}"; set ytics 100; set key top left samplen 2 maxrows 2
set xlabel "layer"; set ylabel "relative difference"
plot data.'/rounding.dat' using 1:5 with linespoints lt 4 pt 7 ps 0.4 title "all in bfloat16", \
     '' using 1:4 with linespoints lt 2 pt 7 ps 0.4 title "weights in bfloat16", \
     '' using 1:2 with linespoints lt 1 pt 7 ps 0.4 title "float32, chunked", \
     '' using 1:3 with linespoints lt 3 pt 7 ps 0.4 title "float32, recurrent"
