set logscale x 2; set xrange [1.7:19]; set yrange [0:104]; set key bottom right samplen 2; set xtics (2, 4, 8, 16)
set xlabel "state size, N"; set ylabel "right answers, percent"
table = recorded.'/recall/plot.dat'
plot for [seed=0:3] table index seed using ($1*0.97):2 with points lt 1 pt 7 ps 0.5 notitle, \
     for [seed=0:3] table index seed using ($1*1.03):3 with points lt 2 pt 7 ps 0.5 notitle, \
     table index 4 using ($1*0.97):2 with lines lt 1 title "selective", \
     table index 4 using ($1*1.03):3 with lines lt 2 title "fixed decay"
