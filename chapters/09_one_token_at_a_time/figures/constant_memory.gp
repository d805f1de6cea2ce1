set xrange [0:100]; set yrange [-2:55]; set key top left samplen 2
set xlabel "thousand tokens so far"; set ylabel "megabytes"
plot 2*64*4*x*1000/1e6 lt 2 title "keys and values of attention", \
     data.'/steps.dat' using ($1/1000):3 with lines lt 1 title "the process, measured"
