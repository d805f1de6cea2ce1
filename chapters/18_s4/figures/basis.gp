set terminal svg size 680,300 dynamic enhanced font "Helvetica,15" linewidth 1
set multiplot layout 1,2 margins 0.06, 0.985, 0.17, 0.95 spacing 0.07
set xlabel "how long ago"
set xrange [0:5]
set yrange [-2.2:2.8]
set ytics -2, 2, 2
set xzeroaxis lc rgb grey
set label 1 "S4" at graph 0.5, 0.93 center
set key right top samplen 2 spacing 1.1
plot data.'/basis.dat' using 1:2 with lines lt 1 title "n = 0", '' using 1:3 with lines lt 2 title "n = 1", \
     '' using 1:4 with lines lt 3 title "n = 2", '' using 1:5 with lines lt 4 title "n = 3"
set label 1 "S4D"
plot data.'/basis.dat' using 1:6 with lines lt 1 title "n = 1", '' using 1:7 with lines lt 2 title "n = 2"
unset multiplot
