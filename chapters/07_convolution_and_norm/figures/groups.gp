set xrange [-0.7:15.7]; set yrange [0:2.4]; set key top right samplen 2; set xtics 4 offset 0,0
set xlabel "channel (groups of four)"; set ylabel "value after the norm"; set boxwidth 0.36
plot data.'/groups.dat' using ($1-0.2):3 with boxes lt 1 title "one mean square for all", '' using ($1+0.2):4 with boxes lt 2 title "one for each group"
