set xlabel "steps"; set ylabel "bits per byte"; set yrange [0:*]; set key top right samplen 2
table = recorded.'/own_model/curve.dat'
plot table using 1:2 with lines lt 1 title "learnt", table using 1:3 with linespoints lt 2 pt 7 ps 0.4 title "held out"
