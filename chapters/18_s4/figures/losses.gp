set terminal svg size 640,330 dynamic enhanced font "Helvetica,15" linewidth 1
set xlabel "steps of training"
set ylabel "error"
set logscale y
set yrange [0.003:400]
set format y "%g"
set xrange [0:250]
set key at 248, 380 right top horizontal maxcols 3 Left reverse samplen 2 spacing 1.1
plot data.'/losses.dat' using 1:6 with lines lt 5 title "Lin, step size 0.16", \
     '' using 1:5 with lines lt 4 title "Real", \
     '' using 1:3 with lines lt 2 title "Inv", \
     '' using 1:2 with lines lt 1 title "LegS", \
     '' using 1:4 with lines lt 3 title "Lin"
