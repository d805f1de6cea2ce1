set terminal svg size 640,340 dynamic enhanced font "Helvetica,15" linewidth 1
set xlabel "time"
set ylabel "level"
set xrange [0:4.6]
set yrange [0:13]
set xtics 0, 1, 4
set ytics 0, 4, 12
unset key
set label 1 "pour 8 into a" at 0.96, 8.3 right
set label 2 "pour 12 into b" at 1.96, 12.2 right
set label 3 "look a" at 2.07, 4.7
set label 4 "pour 3 into a, for a time of 2" at 3.94, 7.5 right
set label 5 "look b" at 4.09, 3.1
set label 6 "look a" at 4.09, 7.5
set label 7 "a" at 1.42, 6.6 textcolor lt 1
set label 8 "b" at 2.62, 8.6 textcolor lt 2
plot data.'/buckets.dat' index 0 using 1:2 with lines lt 1, '' index 0 using 1:3 with lines lt 2, \
     '' index 1 using 1:2 with points pt 6 ps 1.4 lw 1.6 lc rgb ink
