set terminal svg size 640,340 dynamic enhanced font "Helvetica,15" linewidth 1
set logscale x 2
set xlabel "facts"
set ylabel "error, values being 1"
set xrange [1:128]
set yrange [0:3]
set xtics (1, 2, 4, 8, 16, 32, 64, 128)
set key left top Left reverse
set arrow 1 from 1, 1 to 128, 1 nohead lc rgb grey dt (6, 4)
set label 1 "as wrong as right" at 1.1, 1.12 textcolor rgb grey
plot data.'/capacity.dat' using 1:2 with lines lt 1 title "N = 4", '' using 1:3 with lines lt 2 title "N = 16", \
     '' using 1:4 with lines lt 3 title "N = 64", '' using 1:5 with lines lt 4 title "N = 128"
