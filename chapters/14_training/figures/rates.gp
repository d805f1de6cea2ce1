set xrange [0:100]; set yrange [0:*]; set key top right samplen 2
set xlabel "step"; set ylabel "loss, nats per character"
plot data.'/rates.dat' index 0 with lines lt 1 title "0.0003", \
     data.'/rates.dat' index 1 with lines lt 3 title "0.01", \
     data.'/rates.dat' index 2 with lines lt 2 title "0.3"
