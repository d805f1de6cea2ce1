set xrange [0:60]; set yrange [0:1.05]; set key top right samplen 2
set xlabel "tokens back, k"; set ylabel "kernel K_k"
plot data.'/kernels.dat' using 1:2 with lines lt 1 title "two rates", '' using 1:3 with lines lt 2 title "sixteen rates", \
     '' using 1:4 with lines lt 3 title "one rate"
