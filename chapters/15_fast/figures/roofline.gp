set logscale xy; set xrange [0.1:2000]; set key top left samplen 2
set format x "%g"; set format y "%g"
set xlabel "operations for each byte that is read"; set ylabel "billion operations a second, at most"
stats data.'/roofline.dat' using 1 nooutput
many = STATS_blocks > 2 ? 1 : 0
set yrange [*:*]
set offsets 0, 0, graph 0.1, 0
plot data.'/roofline.dat' index 0 using 1:2 with lines lt 1 title "1 thread", \
     data.'/roofline.dat' index many using 1:2 with lines lt 2 title "all", \
     data.'/roofline_points.dat' using 1:2 with points pt 7 lc rgb ink notitle, \
     '' using 1:2:3 with labels right offset -1,0.6 textcolor rgb ink notitle
