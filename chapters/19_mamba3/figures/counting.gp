set multiplot layout 1,2
set logscale x 2; set xrange [50:650]; set yrange [0:104]; set xtics (64, 128, 256, 512)
set xlabel "places up to"; set ylabel "right answers, percent"; set key bottom left samplen 2
table = recorded.'/counting/plot.dat'
plot 50 with lines lt 3 dt 3 notitle, \
     for [i=0:2] table index i using 1:2 with linespoints lt 2 pt 7 ps 0.5 title (i == 0 ? "Mamba-2" : ""), \
     for [i=3:5] table index i using 1:2 with linespoints lt 1 pt 7 ps 0.5 title (i == 3 ? "Mamba-3" : "")
unset key; set ylabel ""
plot 100/3. with lines lt 3 dt 3 notitle, \
     for [i=6:8] table index i using 1:2 with linespoints lt 2 pt 7 ps 0.5 notitle, \
     for [i=9:11] table index i using 1:2 with linespoints lt 1 pt 7 ps 0.5 notitle
unset multiplot
