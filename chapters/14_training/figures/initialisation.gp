set xrange [0:1500]; set yrange [0:118]; set key top left samplen 2
set xlabel "step"; set ylabel "right answers, percent"
table = recorded.'/initialisation/curves.dat'
plot for [seed=2:5] table using 1:seed with lines lt 1 lw 1.4 title (seed == 2 ? "as in the reference" : ""), \
     for [seed=6:9] table using 1:seed with lines lt 2 lw 1.4 title (seed == 6 ? "without care" : "")
