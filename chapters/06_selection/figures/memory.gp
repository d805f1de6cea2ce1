set logscale x; set xrange [0.3:5000]; set yrange [0:1.02]; unset key
set xlabel "tokens since"; set ylabel "what is left"
plot for [h=2:25] data.'/memory.dat' using 1:h with lines lt 1 lw 1.3
