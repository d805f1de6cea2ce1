set terminal svg size 660,420 dynamic enhanced font "Helvetica,15" linewidth 1
set multiplot layout 2,1 margins 0.07, 0.965, 0.12, 0.97 spacing 0.05
set xrange [0:600]
set yrange [-2.2:2.6]
set ytics -2, 2, 2
set xtics 0, 100, 600
set format x ""
set key at 595, 2.5 right top horizontal samplen 2
plot data.'/recall.dat' index 0 using 1:2 with lines lc rgb grey lw 1.4 notitle, \
     '' index 1 using 1:2 with lines lt 2 title "8 numbers, after 300 steps", \
     '' index 2 using 1:2 with lines lt 1 title "after 600"
set format x "%g"
set xlabel "step"
plot data.'/recall.dat' index 0 using 1:2 with lines lc rgb grey lw 1.4 notitle, \
     '' index 3 using 1:2 with lines lt 2 title "32 numbers, after 300 steps", \
     '' index 4 using 1:2 with lines lt 1 title "after 600"
unset multiplot
