set terminal svg size 640,340 dynamic enhanced font "Helvetica,15" linewidth 1
set xlabel "springs, in order"
set ylabel "frequency"
set xrange [0:33]
set logscale y
set yrange [0.2:2500]
set format y "%g"
set key left top Left reverse samplen 1.5 spacing 1.15
plot data.'/rates.dat' index 0 using 1:3 with points lt 1 pt 7 ps 0.6 title "LegS", \
     '' index 1 using 1:3 with points lt 2 pt 9 ps 0.6 title "Inv", \
     '' index 2 using 1:3 with points lt 3 pt 5 ps 0.5 title "Lin"
