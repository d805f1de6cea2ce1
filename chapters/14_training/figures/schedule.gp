set xrange [0:1000]; set yrange [0:3.3]; unset key
set xlabel "step"; set ylabel "learning rate, thousandths"
plot data.'/schedule.dat' with lines lt 1
